"""Whether what is read goes on where the position in the database is.

A client may hand over records before a seek has taken effect: of a partition just assigned it may
have fetched from the offset that Kafka knows, which can be ahead of ours. Taking them would skip
what lies between, silently. So after every (re)start of a partition its first records must begin
exactly at the position; if they do not, it is sought once more, and only a gap that is still there
then is the log's own (compaction, retention).
"""

from collections.abc import Callable, Iterable, Sequence

from shared.runtime.log import Record, TopicPartition


class Continuity:
    """The partitions whose first records have not been seen yet."""

    def __init__(self) -> None:
        # partition → whether it was sought a second time
        self._unproven: dict[TopicPartition, bool] = {}

    def expect(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions start anew."""
        self._unproven = dict.fromkeys(partitions, False)

    def unread(
        self,
        partition: TopicPartition,
        position: int,
        polled: Sequence[Record],
        seek: Callable[[TopicPartition, int], None],
    ) -> Sequence[Record]:
        """The records from `position` on; none when the partition had to be sought again."""
        fresh = [record for record in polled if record.offset >= position]
        if not fresh or partition not in self._unproven:
            return fresh
        if fresh[0].offset > position and not self._unproven[partition]:
            self._unproven[partition] = True
            seek(partition, position)
            return ()
        del self._unproven[partition]
        return fresh
