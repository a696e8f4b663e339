"""Which ids may name a person. A shop's null that becomes a text would merge all its customers.

Source: the blocked values of Segment's identity resolution and PostHog's illegal ids.
"""

ID_CHARS_MAX = 200
ILLEGAL_IDS = frozenset(
    {
        "-1",
        "[object object]",
        "anonymous",
        "anonymous-user",
        "backend",
        "distinct_id",
        "distinctid",
        "email",
        "false",
        "guest",
        "id",
        "nan",
        "nil",
        "none",
        "not_authenticated",
        "null",
        "system",
        "true",
        "undefined",
        "unknown",
        "user",
    }
)


def flaw_of(name: str) -> str | None:
    """Why `name` cannot stand for one person, or None. Zeros and dashes alone stand for nobody."""
    if name.strip().casefold() in ILLEGAL_IDS or not name.strip("0- "):
        return "this value stands for nobody in particular; leave the field out instead"
    if not name.isprintable():
        return "an id is made of printable characters"
    if len(name) > ID_CHARS_MAX:
        return f"an id has at most {ID_CHARS_MAX} characters"
    return None
