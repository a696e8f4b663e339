"""The floor of intake: a bare ASGI app that publishes what comes, one `send()` an event.

No keys, no limits, no validation: read the body, cut a batch into its events, hand each to an
idempotent producer, answer when the broker has acknowledged all. The same server settings as ours.
"""

import argparse
import asyncio
from typing import Any

import orjson
import uvicorn
from aiokafka import AIOKafkaProducer

TOPIC = "bench.door"
_START = {
    "type": "http.response.start",
    "status": 202,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"15")],
}
_ANSWER = {"type": "http.response.body", "body": b'{"accepted":[]}'}


class Floor:
    """The ASGI app; its producer lives as long as the server."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer: AIOKafkaProducer | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["method"] == "GET":
            await send(_START)
            await send(_ANSWER)
        else:
            await self._take(await _body_of(receive))
            await send(_START)
            await send(_ANSWER)

    async def _take(self, body: bytes) -> None:
        assert self._producer is not None
        document = orjson.loads(body)
        if "events" not in document:
            key = document["customer_id"].encode()
            await self._producer.send_and_wait(TOPIC, body, key=key)
            return
        sent = [
            await self._producer.send(TOPIC, orjson.dumps(one), key=one["customer_id"].encode())
            for one in document["events"]
        ]
        await asyncio.gather(*sent)

    async def _live(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._producer = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True
                )
                await self._producer.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._producer is not None:
                    await self._producer.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _body_of(receive: Any) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kafka", required=True)
    told = parser.parse_args()
    uvicorn.run(
        Floor(told.kafka),
        host="127.0.0.1",
        port=told.port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        server_header=False,
    )


if __name__ == "__main__":
    main()
