"""SQL of how far this service has read: the runtime's own table, only looked at."""

from services.scoring.store.people import Driver
from shared.runtime.log import TopicPartition

_LOAD = "SELECT partition, next_offset FROM consumed WHERE topic = $1"


async def load(driver: Driver, topic: str) -> dict[TopicPartition, int]:
    """The next offset to be handled in each partition that was ever read."""
    rows = await driver.fetch(_LOAD, topic)
    return {TopicPartition(topic, row["partition"]): row["next_offset"] for row in rows}
