"""How fast a key may post."""

import pytest

from services.ingest.domain.rate import Bucket


def test_a_bucket_lets_a_request_into_debt_and_then_asks_for_patience() -> None:
    bucket = Bucket.full(per_second=10, burst_seconds=2, at=100.0)

    assert bucket.wait_seconds(100.0) == 0
    bucket.pay(50)
    assert bucket.wait_seconds(100.0) == pytest.approx(3.0)
    assert bucket.wait_seconds(102.0) == pytest.approx(1.0)
    assert bucket.wait_seconds(103.0) == 0


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = Bucket.full(per_second=10, burst_seconds=2, at=0.0)

    bucket.wait_seconds(1_000.0)

    assert bucket.left == 20
