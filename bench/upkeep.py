"""What PostgreSQL does in the background, done at the end of a window instead.

By itself it vacuums once a minute and writes a checkpoint every five: a window of seconds would
have all of it or nothing. Done at its end, every window has its share, which grows with the tables.
"""

from bench.sandbox import Sandbox
from stack.settings import StackSettings

SETTINGS = {"autovacuum": "off", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}


async def keep_up(pair: Sandbox, database: str) -> None:
    """All that autovacuum and the checkpointer would have to do for one database."""
    await pair.sql("VACUUM ANALYZE", database=database)
    await pair.sql("CHECKPOINT")


def note() -> str:
    """How the database was set, for the tables."""
    buffers = StackSettings().postgres_shared_buffers_mb
    settings = ", ".join(f"{name}={value}" for name, value in SETTINGS.items())
    return (
        f"PostgreSQL's own defaults ({buffers} MB of shared buffers, fsync on) but for {settings}: "
        "VACUUM ANALYZE of the database and a CHECKPOINT end every window of Tenure, inside "
        "its cost."
    )
