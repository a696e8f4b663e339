"""A consumer that stands still is not alive, whatever it says that it waits for."""

from threading import Thread
from time import monotonic, sleep

from shared.runtime.health import Health, Standing
from shared.runtime.log import TopicPartition

ONE, OTHER = TopicPartition("t", 0), TopicPartition("t", 1)
BEHIND = Standing(position=5, behind=3)


def becomes(wanted: bool, health: Health) -> None:
    """Waits until liveness is as wanted."""
    end = monotonic() + 10
    while (health.stalled() is None) != wanted:
        assert monotonic() < end, f"alive is {not wanted} for 10 s"
        sleep(0.01)


def test_only_the_database_and_kafka_excuse_standing_still() -> None:
    for part, excused in (("keys", False), ("relay", False), ("database", True), ("kafka", True)):
        health = Health(stall_seconds=0.0)
        health.stands({ONE: BEHIND})
        assert health.stalled() is not None
        health.waits(part, "away")
        assert (health.stalled() is None) == excused, part


def test_an_excuse_ends() -> None:
    health = Health(stall_seconds=0.05, away_seconds_max=0.2)
    health.stands({ONE: BEHIND})
    health.waits("kafka", "cannot ask for the end")
    assert health.stalled() is None
    becomes(False, health)


def test_time_without_a_database_is_not_counted_as_standing_still() -> None:
    health = Health(stall_seconds=0.2)
    health.stands({ONE: BEHIND})
    health.waits("database", "ConnectionRefusedError")
    sleep(0.3)  # longer than a stall
    health.waits("database", None)
    assert health.stalled() is None
    becomes(False, health)


def test_a_part_that_comes_and_goes_does_not_mask_a_stall() -> None:
    health = Health(stall_seconds=0.1)
    health.stands({ONE: BEHIND})
    end = monotonic() + 10
    while health.stalled() is None:
        assert monotonic() < end
        health.waits("kafka", "away")
        sleep(0.005)
        health.waits("kafka", None)
        sleep(0.005)


def test_partitions_that_are_no_longer_ours_are_forgotten() -> None:
    health = Health(stall_seconds=0.0)
    health.stands({ONE: BEHIND})
    health.stands({OTHER: Standing(position=9, behind=0)})
    assert health.stalled() is None


def test_what_two_threads_wait_for_is_kept_by_both() -> None:
    health = Health()

    def wait(prefix: str) -> None:
        for number in range(2_000):
            health.waits(f"{prefix}{number}", "away")

    threads = [Thread(target=wait, args=(prefix,)) for prefix in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(health.waiting_for) == 4_000
