"""Entries in words."""

from typing import Any

import pytest

from services.insights.domain.details import TITLES, details_of, kept, title
from shared.events.commerce import OrderCompleted
from shared.events.engagement import CustomEvent, ReviewSubmitted
from shared.events.envelope import Event
from shared.events.loyalty import PointsReversed, TierChanged
from shared.events.topics import PUBLIC_TOPICS
from shared.events.webhooks import WEBHOOKS
from shared.testing.builders import event

POINTS: dict[str, Any] = {"entry_id": "n-1", "balance": 5, "reason": "r"}


def said(happened: Event) -> str:
    return title(happened.type, details_of(happened))


@pytest.mark.parametrize(
    ("happened", "words"),
    [
        (
            event(OrderCompleted, order_id="o-9", total="12.990", currency="EUR"),
            "Order o-9 completed: 12.990 EUR",
        ),
        (event(ReviewSubmitted, rating=4), "Gave 4 of 5 stars"),
        (event(ReviewSubmitted, rating=4, sku="mug"), "Gave 4 of 5 stars to mug"),
        (
            event(PointsReversed, points=-7, order_id="o-9", **POINTS),
            "7 points taken back for order o-9",
        ),
        (
            event(TierChanged, previous=None, current="bronze", qualifying_points=0, reason="r"),
            "Became bronze",
        ),
        (
            event(CustomEvent).model_copy(update={"type": "custom.size_chosen"}),
            "Size chosen",
        ),
    ],
)
def test_an_entry_is_told_in_words(happened: Event, words: str) -> None:
    assert said(happened) == words


def test_braces_in_a_value_stay_what_they_are() -> None:
    assert said(event(ReviewSubmitted, rating=5, sku="{0}")) == "Gave 5 of 5 stars to {0}"


def test_every_public_type_of_a_customer_has_words_of_its_own() -> None:
    public = {kind.type_name() for topic in PUBLIC_TOPICS for kind in topic.events}
    operators = {kind.type_name() for kind in WEBHOOKS}
    assert public - operators - {"custom.*", "customer.erased"} == set(TITLES)


def test_every_kept_field_exists_in_the_payload_it_is_taken_from() -> None:
    for kind in (kind for topic in PUBLIC_TOPICS for kind in topic.events):
        data = kind.model_fields["data"].annotation
        assert data is not None
        fields = {path.partition(".")[0] for path in kept(kind.type_name())}
        assert fields <= data.model_fields.keys(), kind
