"""Starts a command with fail-points of its own: `python -m ... armed.py FOLDER NAME SEED -- ...`.

Each life of a process throws other dice, and so does each process, all from one printed seed. Its
first lives end at a placed fail-point; later ones die by chance; the last are left in peace. What
each life was armed with is a line in FOLDER/NAME, so a test can say who died where.
"""

import os
import sys
import zlib
from pathlib import Path

# Where a process dies first. Who publishes: in its relay, between the log and the outbox.
PLACED = ("relay.after_write=kill:1", "consumer.before_commit=kill:1")
ELSEWHERE = {
    # A door dies with an answer in hand that it has not given.
    "ingest": ("intake.after_write=kill:1", "intake.before_write=kill:0.3"),
    # Has nothing to publish here: dies with a delivery made and not recorded.
    "webhooks": ("effect.after_call=kill:1", "consumer.before_commit=kill:1"),
}
BY_CHANCE = ",".join(
    f"{gap}=kill:0.01"
    for gap in (
        "consumer.after_begin",
        "consumer.after_state",
        "consumer.after_commit",
        "relay.before_write",
        "relay.after_write",
        "relay.after_delete",
        "effect.before_call",
        "effect.after_call",
    )
)
CHANCES = 2


def arms(name: str, life: int) -> str:
    """What the `life`-th process of this name (from 0) is armed with."""
    placed = ELSEWHERE.get(name, PLACED)
    if life < len(placed):
        return placed[life]
    return BY_CHANCE if life < len(placed) + CHANCES else ""


def lives(folder: Path, name: str) -> list[str]:
    """What each life so far was armed with; all but the last are over."""
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    folder, name, seed, command = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[5:]
    life = len(lives(folder, name))
    points = arms(name, life)
    with (folder / name).open("a") as file:
        file.write(f"{points}\n")
    dice = zlib.crc32(f"{seed}/{name}/{life}".encode())
    os.environ.update(TENURE_FAILPOINTS=points, TENURE_FAILPOINTS_SEED=str(dice))
    os.execvp(command[0], command)  # noqa: S606 — the same process, so that signals reach it


if __name__ == "__main__":
    main()
