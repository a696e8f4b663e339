"""What the consumer has in hand: consecutive records of one partition, decoded, and their ends."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.events.envelope import Event
from shared.runtime import metrics
from shared.runtime.dead import DeadLetter, original_record
from shared.runtime.inbox import Message, Move
from shared.runtime.log import Record, TopicPartition
from shared.runtime.service import Subscription
from shared.runtime.telemetry import event_fields

CONFLICT = "ConflictingContent"


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive records of one partition, decoded."""

    partition: TopicPartition
    records: Sequence[Record]
    messages: Sequence[Message]
    dead: Sequence[DeadLetter] = ()

    def move_from(self, position: int) -> Move:
        """From the position before these records to the one after them."""
        return Move(self.partition, position, self.records[-1].offset + 1)


def decode(
    subscriptions: Mapping[str, Subscription], partition: TopicPartition, records: Sequence[Record]
) -> Slice:
    """A slice of these records; what cannot be read is a dead letter of it."""
    messages: list[Message] = []
    dead: list[DeadLetter] = []
    for record in records:
        original = original_record(record)
        subscription = subscriptions.get(original.topic)
        if subscription is None:
            dead.append(DeadLetter.of(original, "no_subscription", "topic is not read here"))
            continue
        try:
            for message in subscription.decode(original):
                message.record = original
                messages.append(message)
        except Exception as error:  # decoding is pure: it would fail for ever
            dead.append(DeadLetter.of(original, type(error).__name__, str(error)))
    return Slice(partition, records, messages, dead)


def in_lanes(slices: Sequence[Slice], lanes: int, records_min: int) -> list[list[Slice]]:
    """The slices for transactions side by side, each of about as many records.

    A partition of one topic goes with the same partition of the others, where the same customers
    are. Fewer than `records_min` records a lane are not worth a transaction of their own.
    """
    sizes: Counter[int] = Counter()
    for one in slices:
        sizes[one.partition.partition] += len(one.records)
    wanted = max(1, min(lanes, sizes.total() // records_min))
    filled = [0] * wanted
    lane_of: dict[int, int] = {}
    for partition, size in sizes.most_common():
        lane_of[partition] = min(range(wanted), key=filled.__getitem__)
        filled[lane_of[partition]] += size
    found: list[list[Slice]] = [[] for _ in range(wanted)]
    for one in slices:
        found[lane_of[one.partition.partition]].append(one)
    return [lane for lane in found if lane]


def conflict(message: Message) -> DeadLetter:
    """The end of a message whose id was used before."""
    return DeadLetter.of_message(message, CONFLICT, "this id was seen before with other content")


def outcomes(applied: int, dead: Sequence[DeadLetter]) -> tuple[int, int]:
    """(fine, lost): a client that reuses ids is its own trouble, not a sign of ours."""
    ours = sum(letter.kind != CONFLICT for letter in dead)
    return applied + len(dead) - ours, ours


def named(message: Message) -> dict[str, str | None]:
    """What a log line says of a message."""
    if isinstance(message.event, Event):
        return event_fields(message.event)
    return {"event_id": message.event_id}


def count(
    applied: Sequence[Message], duplicates: Sequence[Message], dead: Sequence[DeadLetter]
) -> None:
    """Tells the metrics what became of a batch."""
    metrics.BATCH_EVENTS.observe(len(applied))
    ends: dict[str, Sequence[Message | DeadLetter]] = {
        "applied": applied,
        "duplicate": duplicates,
        "dead": dead,
    }
    for outcome, several in ends.items():
        for topic, number in Counter(one.topic for one in several).items():
            metrics.EVENTS.labels(topic, outcome).inc(number)
