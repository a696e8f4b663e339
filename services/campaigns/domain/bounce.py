"""What it means that a message came back: nothing, or that its address is no good."""

import re

# SMTP's replies and enhanced status codes (RFC 5321, 3463) tell by their first digit.
_FOR_NOW = re.compile(
    r"^\W*4\d\d\b|\b4\.\d{1,3}\.\d{1,3}\b"
    r"|\b(soft|transient|temporar\w+|defer\w+|delay\w+|try again|quota|full|grey-?list\w*)\b",
    re.IGNORECASE,
)


def is_for_good(reason: str | None) -> bool:
    """Whether a bounce says that the address takes no mail at all.

    A full mailbox or a busy server may take the next one. A provider that gives no reason has
    given up itself.
    """
    return reason is None or _FOR_NOW.search(reason) is None
