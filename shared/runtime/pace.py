"""How large batches are: as long as there is lag they grow, within the time that one may take."""

from shared.runtime.settings import RuntimeSettings

RECORDS_MIN = 10
# With fewer, what a batch costs by itself outweighs its events: on a busy machine a backlog would
# make batches smaller, which makes events dearer, which makes the backlog grow.
RECORDS_STEADY = 250


def paced(records_max: int, records: int, seconds: float, settings: RuntimeSettings) -> int:
    """How many records the next batch may have, after one of `records` took `seconds`.

    A batch is to take `batch_seconds_target`, but is not made smaller than a steady size for it,
    unless it takes `batch_seconds_max`.
    """
    target, limit = settings.batch_seconds_target, settings.batch_seconds_max
    if seconds > limit:
        return max(RECORDS_MIN, int(records_max * limit / seconds))
    if seconds > target and records_max >= RECORDS_STEADY:
        return max(RECORDS_STEADY, int(records_max * target / seconds))
    if records * 2 >= records_max:
        most = settings.batch_records_max if seconds <= target else RECORDS_STEADY
        return min(settings.batch_records_max, most, records_max * 2)
    return records_max
