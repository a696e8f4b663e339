"""`python -m tests.integration.runtime.failing DATABASE_URL`: two requests fail, and are logged.

Prints the statuses; what is logged about them is on standard error, as in a real process.
"""

import asyncio
import sys

import httpx
import uvicorn

from shared.runtime.app import _Server
from shared.runtime.telemetry import configure_logging
from shared.testing.harness import running
from tests.integration.runtime.test_http import build


async def main(database_url: str) -> None:
    configure_logging("loyalty", "info")
    async with running(build, database_url, consume=False) as service:
        app = service.client._transport.app  # type: ignore[attr-defined]
        config = uvicorn.Config(app, port=0, loop="none", lifespan="off", log_config=None)
        server = _Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for path in ("/v1/broken", "/v1/away"):
                reply = await client.get(path, headers=service.key("read"))
                sys.stdout.write(f"{reply.status_code}\n")
        server.should_exit = True
        await serving


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
