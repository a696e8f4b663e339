"""The hasty door, as a negative control: it answers 202 before the broker has acknowledged."""

import asyncio
import json
import os
import sys
from typing import Any

import uvicorn
from aiokafka import AIOKafkaProducer


class HastyDoor:
    """Takes events, hands them to the producer's buffer and answers at once."""

    def __init__(self) -> None:
        self._producer: AIOKafkaProducer | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] != "/readyz":
            body = (await receive())["body"]
            for event in json.loads(body)["events"]:
                key = event["customer_id"].encode()
                value = json.dumps(event).encode()
                task = asyncio.create_task(
                    (await self._ready()).send("ingest.received", value, key)
                )
                task.add_done_callback(lambda done: done.cancelled() or done.exception())
            status = 202
        else:
            await self._ready()
            status = 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def _ready(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                bootstrap_servers=os.environ["TENURE_KAFKA"], acks="all", enable_idempotence=True
            )
            await self._producer.start()
        return self._producer


if __name__ == "__main__":
    uvicorn.run(HastyDoor(), host="127.0.0.1", port=int(sys.argv[1]), lifespan="off")
