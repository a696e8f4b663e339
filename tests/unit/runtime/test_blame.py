"""When one of two lanes runs into a limit, only what it was about becomes suspect."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from shared.runtime.batch import Slice
from shared.runtime.consumer import Consumer
from shared.runtime.failures import Fenced
from shared.runtime.log import TopicPartition
from shared.runtime.pace import RECORDS_STEADY
from tests.integration.runtime.counting import CountingSettings
from tests.unit.runtime.test_lanes import a_slice

SLICES = [a_slice("t", partition, RECORDS_STEADY) for partition in (0, 1)]
FIRST, SECOND = (one.partition for one in SLICES)


class Failing(Consumer):
    """Its lanes fail as they are told to, by partition."""

    def __init__(self, failures: dict[TopicPartition, Exception]) -> None:
        context: Any = SimpleNamespace(settings=CountingSettings(limit_failures_max=1))
        reader: Any = object()
        super().__init__(context, [], lambda: reader)
        self._failures = failures
        self.lanes: list[list[TopicPartition]] = []

    async def _apply_or_halve(self, slices: Sequence[Slice]) -> None:
        lane = [one.partition for one in slices]
        self.lanes.append(lane)
        for partition in lane:
            if partition in self._failures:
                raise self._failures[partition]

    def suspects(self) -> set[TopicPartition]:
        return {one for one in (FIRST, SECOND) if self._suspicion.is_ripe([one])}


@pytest.mark.parametrize("slow", [FIRST, SECOND])
async def test_a_limit_makes_its_own_lane_suspect(slow: TopicPartition) -> None:
    consumer = Failing({slow: asyncpg.QueryCanceledError("too long")})
    with pytest.raises(asyncpg.QueryCanceledError):
        await consumer._take(SLICES)
    assert len(consumer.lanes) == 2
    assert consumer.suspects() == {slow}


async def test_a_limit_counts_though_the_other_lane_failed_for_another_reason() -> None:
    consumer = Failing({FIRST: Fenced("moved"), SECOND: asyncpg.QueryCanceledError("too long")})
    with pytest.raises(Fenced):
        await consumer._take(SLICES)
    assert consumer.suspects() == {SECOND}
