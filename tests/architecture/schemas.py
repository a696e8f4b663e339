"""A schema as PostgreSQL itself describes it, so that two can be compared to the last default."""

import asyncpg

# Each answers (table, thing, definition).
_PARTS = {
    "column": """
        SELECT c.relname, a.attname,
               concat_ws(' ', format_type(a.atttypid, a.atttypmod),
                         CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                         'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid),
                         nullif(a.attidentity::text, ''), nullif(a.attgenerated::text, ''))
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p')
          AND a.attnum > 0 AND NOT a.attisdropped""",
    # NOT NULL is told with its column; since 18 it is a constraint too, named by the server.
    "constraint": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = $1::regnamespace AND contype <> 'n'""",
    "index": """
        SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = $1::text""",
    "sequence": """
        SELECT sequencename, sequencename, data_type::text || ' ' || cache_size || ' ' || cycle
        FROM pg_sequences WHERE schemaname = $1::text""",
}
_ALEMBIC = ("runtime_version", "service_version")


async def described(database_url: str, schema: str) -> set[tuple[str, ...]]:
    """(kind, table, name, definition) of all that the schema holds but Alembic's own tables."""
    connection = await asyncpg.connect(database_url, server_settings={"search_path": schema})
    try:
        rows = [
            (kind, *row)
            for kind, query in _PARTS.items()
            for row in await connection.fetch(query, schema)
        ]
    finally:
        await connection.close()
    return {row for row in rows if not row[1].startswith(_ALEMBIC)}
