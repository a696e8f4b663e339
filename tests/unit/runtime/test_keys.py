"""The key ring follows a log that may repeat itself."""

from datetime import datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from shared.events.keys import KeyChanged, KeyChangedData
from shared.events.topics import ACCESS_KEYS
from shared.ids import CustomerId, EventId
from shared.runtime.auth import KeyRing, format_key, secret_hash
from shared.runtime.log import Record
from shared.testing.builders import NOON

SECRET = "s" * 43


def announced(event_id: str, revoked_at: datetime | None = None) -> Record:
    data = KeyChangedData(
        key_id="k",
        secret_hash=secret_hash(SECRET),
        scopes=("admin",),
        label="a key",
        revoked_at=revoked_at,
    )
    event = KeyChanged(
        id=EventId(event_id),
        source="/ingest",
        subject=CustomerId("k"),
        time=NOON,
        recordedtime=NOON,
        data=data,
    )
    return Record("ingest.keys", 0, 0, b"k", event.to_json())


def test_a_late_copy_of_its_making_does_not_undo_a_revocation() -> None:
    """A relay that was frozen, or a reader that starts anew, brings old records once more."""
    ring, key = KeyRing(), format_key("k", SECRET)
    ring.apply([announced("made")])
    assert ring.caller(key, NOON) is not None
    ring.apply([announced("revoked", NOON - timedelta(seconds=1)), announced("made")])
    assert ring.caller(key, NOON) is None


def test_a_new_process_knows_a_revocation_that_a_late_copy_followed() -> None:
    """What the topic still has when a process starts, as the catalogue has it kept."""
    written = [
        announced("made"),
        announced("revoked", NOON - timedelta(seconds=1)),
        announced("made"),
    ]
    kept = written[-1:] if ACCESS_KEYS.compacted else written
    ring = KeyRing()
    ring.apply(kept)
    assert ring.caller(format_key("k", SECRET), NOON) is None


def test_a_tombstone_with_a_foreign_key_changes_nothing() -> None:
    ring = KeyRing()
    ring.apply([announced("made"), Record("ingest.keys", 0, 1, b"\xff", None)])
    assert ring.caller(format_key("k", SECRET), NOON) is not None


@given(st.text(st.characters(exclude_categories=())))
@example("\ud800" * 43)
@example("é" * 43)
def test_no_text_makes_the_ring_fail(text: str) -> None:
    ring = KeyRing()
    ring.apply([announced("made")])
    for key in (text, f"tn_{text}_{SECRET}", f"tn_k_{text}", f"tn_k_{SECRET}{text or 's'}"):
        assert ring.caller(key, NOON) is None
