"""What PostgreSQL does in the background, done at the end of a window instead.

By itself it vacuums once a minute and writes a checkpoint every five: a window of seconds would
have all of it or nothing. Done at its end, every window has its share, which grows with the tables.
"""

from bench.sandbox import Sandbox

SETTINGS = {"autovacuum": "off", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}
NOTE = (
    "PostgreSQL's own defaults (128 MB of shared buffers, fsync) but for "
    + ", ".join(f"{name}={value}" for name, value in SETTINGS.items())
    + ": VACUUM ANALYZE of the database and a CHECKPOINT end every window of Tenure and are in its "
    "cost."
)


async def keep_up(pair: Sandbox, database: str) -> None:
    """All that autovacuum and the checkpointer would have to do for one database."""
    await pair.sql("VACUUM ANALYZE", database=database)
    await pair.sql("CHECKPOINT")
