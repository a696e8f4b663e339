"""What e-commerce events become: which type, worth how much, of which products."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.segment.catalogue import KNOWN
from tests.unit.ingest.segment.cases import (
    bought,
    call,
    data_of,
    event_of,
    flaws,
    judged,
    paths,
    track,
)

MUG = {"product_id": "MUG", "price": 12.5, "quantity": 2, "name": "Mug", "category": "Kitchen"}
EVERYTHING = {
    "order_id": "o-1",
    "cart_id": "k-1",
    "revenue": 25,
    "currency": "GBP",
    "products": [MUG],
    "product_id": "MUG",
    "price": 12.5,
    "rating": "4",
    "email_id": "mail-1",
}


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: str(known.name))
def test_every_known_event_becomes_its_type_however_it_is_spelled(known: Any) -> None:
    squeezed = "".join(known.name.split())
    for spelling in (
        known.name,
        known.name.lower(),
        known.name.upper(),
        known.name.replace(" ", "_").lower(),
        known.name.replace(" ", "-"),
        known.name.replace(" ", "."),
        squeezed,
        squeezed[0].lower() + squeezed[1:],
        f" {known.name}  ",
    ):
        assert event_of(track(spelling, EVERYTHING))["type"] == known.type, spelling


@pytest.mark.parametrize(
    ("properties", "total"),
    [
        ({"revenue": 12.99}, "12.99"),
        ({"revenue": "12.99"}, "12.99"),
        ({"revenue": " 12.90 "}, "12.90"),
        ({"revenue": 0}, "0"),
        ({"revenue": 1, "subtotal": 2, "total": 3}, "1"),
        ({"revenue": "", "subtotal": 2, "total": 3}, "2"),
        ({"revenue": None, "subtotal": 2, "total": 3}, "2"),
        ({"total": 30, "shipping": 3.5, "tax": "4.20"}, "22.30"),
        ({"total": 30}, "30"),
        ({"total": 3, "shipping": 5}, "0"),
        ({"products": [MUG, {"sku": "A", "price": "1.10"}]}, "26.10"),
        ({"products": [MUG], "discount": 5.01}, "19.99"),
        ({"products": [MUG], "discount": 500}, "0"),
        ({"total": 0.1 + 0.2}, "0.3"),
        ({"total": 0.1 + 0.2, "tax": 0.1}, "0.2"),
        ({"revenue": 1e5}, "100000"),
        ({"revenue": 1e-7}, "0"),
        ({"revenue": 2.0000005}, "2"),
        ({"revenue": 2.0000015}, "2.000002"),
    ],
)
def test_what_an_order_is_worth(properties: dict[str, Any], total: str) -> None:
    data = data_of(bought(**{"revenue": None} | properties))
    assert Decimal(data["total"]) == Decimal(total)
    assert "E" not in data["total"]


def test_an_amount_keeps_every_digit_that_was_sent() -> None:
    """A double would make 123456789012.12346 of it."""
    text = json.dumps({"batch": [bought(revenue="AMOUNT")]}).replace(
        '"AMOUNT"', "123456789012.123456"
    )
    (one,) = judged(text).accepted
    assert json.loads(one.line)["data"]["total"] == "123456789012.123456"


@given(st.decimals(0, 999_999_999, places=2))
def test_money_arrives_as_it_was_sent_as_a_number_or_as_a_text(amount: Decimal) -> None:
    for spelled in (str(amount), float(amount)):
        assert Decimal(data_of(bought(revenue=spelled))["total"]) == amount


@given(
    st.lists(
        st.tuples(st.decimals(0, 99_999, places=2), st.integers(0, 999)), min_size=1, max_size=20
    ),
    st.decimals(0, 1_000, places=2),
)
def test_products_add_up_exactly(lines: list[tuple[Decimal, int]], discount: Decimal) -> None:
    products = [{"sku": "A", "price": float(price), "quantity": n} for price, n in lines]
    order = bought(revenue=None, products=products, discount=float(discount))
    expected = sum((price * n for price, n in lines), Decimal(0)) - discount
    assert Decimal(data_of(order)["total"]) == max(Decimal(0), expected)


@pytest.mark.parametrize(
    ("properties", "path"),
    [
        ({"revenue": "12,99"}, "properties.revenue"),
        ({"revenue": "£12"}, "properties.revenue"),
        ({"revenue": True}, "properties.revenue"),
        ({"revenue": []}, "properties.revenue"),
        ({"revenue": -1}, "properties.revenue"),
        ({"revenue": "1e2"}, "properties.revenue"),
        ({"revenue": float("nan")}, "properties.revenue"),
        ({"revenue": float("inf")}, "properties.revenue"),
        ({"revenue": 10**400}, "properties.revenue"),
        ({"revenue": 1e300}, "properties.revenue"),
        ({"revenue": 10**13}, "properties.revenue"),
        ({"revenue": None}, "properties.revenue"),
        ({"revenue": None, "subtotal": "x", "total": 5}, "properties.subtotal"),
        ({"revenue": None, "total": 5, "tax": "x"}, "properties.tax"),
        ({"revenue": None, "products": [{"sku": "A"}]}, "properties.revenue"),
        ({"currency": None}, "properties.currency"),
        ({"currency": "pounds"}, "properties.currency"),
        ({"order_id": None}, "properties.order_id"),
        ({"order_id": True}, "properties.order_id"),
        ({"order_id": "x" * 201}, "properties.order_id"),
        ({"revenue": None, "products": 5}, "properties.products"),
        ({"revenue": None, "products": [5]}, "properties.products.0"),
        (
            {"revenue": None, "products": [MUG, {"price": 1}]},
            "properties.products.1.product_id",
        ),
        ({"revenue": None, "products": [MUG | {"price": -1}]}, "properties.products.0.price"),
        ({"revenue": None, "products": [MUG | {"price": "x"}]}, "properties.products.0.price"),
        (
            {"revenue": None, "products": [MUG, MUG | {"quantity": -1}]},
            "properties.products.1.quantity",
        ),
        (
            {"revenue": None, "products": [MUG | {"quantity": "many"}]},
            "properties.products.0.quantity",
        ),
        ({"products": [MUG] * 2_001}, "properties.products"),
    ],
)
def test_a_flaw_of_an_order_is_told_in_the_words_of_the_call(
    properties: dict[str, Any], path: str
) -> None:
    assert paths(bought(**properties), call_bytes_max=10**6) == [path]


@pytest.mark.parametrize(
    "worth", [{"revenue": 12.99}, {"revenue": None, "subtotal": 9}, {"revenue": None, "total": 9}]
)
@pytest.mark.parametrize(
    "unusable",
    [
        5,
        {"price": 1},
        {"sku": "x" * 201},
        MUG | {"price": -1},
        MUG | {"price": "x"},
        MUG | {"price": 10**13},
        MUG | {"quantity": -1},
        MUG | {"quantity": "many"},
    ],
)
def test_an_order_whose_worth_is_told_is_not_refused_for_a_product(
    worth: Any, unusable: Any
) -> None:
    data = data_of(bought(products=[unusable, MUG], **worth))
    assert [item["sku"] for item in data["items"]] == ["MUG"]
    assert data_of(bought(products=unusable, **worth))["items"] == []


@pytest.mark.parametrize("discount", ["10%", -5, [], 10**13])
def test_a_discount_that_merely_describes_is_left_out_where_it_cannot_be_kept(
    discount: Any,
) -> None:
    assert "discount" not in data_of(bought(discount=discount))
    by_lines = bought(revenue=None, products=[MUG], discount=discount)
    assert set(paths(by_lines)) == {"properties.discount"}


def test_a_line_behind_one_that_was_left_out_keeps_its_place_in_what_is_told() -> None:
    assert data_of(bought(products=[{"id": 17, "price": 4}]))["items"][0]["sku"] == "17"
    many = [{"price": 1}, *[MUG] * 2_001]
    assert paths(bought(products=many), call_bytes_max=10**6) == ["properties.products"]


def test_a_refund_of_a_told_amount_is_not_refused_for_a_product() -> None:
    properties = {"order_id": "o-1", "total": 5, "currency": "GBP", "products": [{"price": 5}]}
    data = data_of(track("Order Refunded", properties))
    assert (data["amount"], data.get("items")) == ("5", None)


def test_products_become_items() -> None:
    products = [
        MUG,
        {"sku": "A-1", "product_id": "507f", "price": "3", "variant": "red", "position": 2},
        {"product_id": 17, "price": 4},
        {"sku": "CHEESE", "price": 9.99, "quantity": 0.5},
        {"sku": "GIFT"},
    ]
    assert data_of(bought(products=products))["items"] == [
        {"sku": "MUG", "name": "Mug", "category": "Kitchen", "quantity": 2, "unit_price": "12.5"},
        {"sku": "A-1", "quantity": 1, "unit_price": "3"},
        {"sku": "17", "quantity": 1, "unit_price": "4"},
        {"sku": "CHEESE", "quantity": 1, "unit_price": "4.995"},
        {"sku": "GIFT", "quantity": 1, "unit_price": "0"},
    ]


def test_the_rest_of_an_order_is_kept_as_far_as_ours_has_a_place() -> None:
    data = data_of(
        bought(
            order_id=4711, currency=" usd ", discount=2.5, coupon="MAY", affiliation="App", color=1
        )
    )
    assert data == {
        "order_id": "4711",
        "total": "12.99",
        "currency": "USD",
        "items": [],
        "discount": "2.5",
        "coupon": "MAY",
        "channel": "App",
    }


def test_a_shop_of_one_currency_may_say_so_once() -> None:
    assert data_of(bought(currency=None), currency="EUR")["currency"] == "EUR"
    assert data_of(bought(), currency="EUR")["currency"] == "GBP"


def test_a_refund_of_some_money_is_a_refund() -> None:
    refund = track("Order Refunded", {"order_id": "o-1", "total": "5.00", "currency": "GBP"})
    assert event_of(refund)["type"] == "order.refunded"
    assert data_of(refund) == {
        "order_id": "o-1",
        "refund_id": "m-1",
        "amount": "5.00",
        "currency": "GBP",
    }


def test_a_refund_of_some_products_is_worth_their_prices() -> None:
    data = data_of(
        track(
            "Order Refunded",
            {"order_id": "o-1", "refund_id": "r-1", "currency": "GBP", "products": [MUG]},
        )
    )
    assert (data["refund_id"], data["amount"], data["items"][0]["sku"]) == ("r-1", "25.0", "MUG")


def test_a_refund_that_names_nothing_but_the_order_is_its_cancellation() -> None:
    event = event_of(track("Order Refunded", {"order_id": "o-1"}))
    assert event["type"] == "order.cancelled"
    assert event["data"] == {"order_id": "o-1", "reason": "refunded in full"}


def test_a_refund_of_products_without_prices_is_not_taken_for_one_in_full() -> None:
    refund = {"order_id": "o-1", "currency": "GBP", "products": [{"sku": "A"}]}
    assert paths(track("Order Refunded", refund)) == ["properties.total"]


def test_carts_tell_their_content_or_what_came_in() -> None:
    seen = data_of(track("Cart Viewed", {"cart_id": "k-1", "products": [MUG], "currency": "GBP"}))
    added = data_of(track("Product Added", MUG, anonymousId="device-1"))

    assert (seen["cart_id"], seen["total"], len(seen["items"])) == ("k-1", "25.0", 1)
    assert added["cart_id"] == "device-1"
    assert added["items"] == seen["items"]
    assert "total" not in added
    assert flaws(track("Product Added", {})) == [("properties.product_id", "required")]


def test_a_checkout_is_worth_its_value() -> None:
    data = data_of(
        track("Checkout Started", {"order_id": "o-1", "value": 20, "currency": "gbp", "total": 99})
    )
    assert data == {"cart_id": "o-1", "items": [], "total": "20", "currency": "GBP"}


@pytest.mark.parametrize(
    ("rating", "stars"), [("4", 4), (5, 5), ("4.5", 4), (3.5, 4), (1.0, 1), ("5.0", 5)]
)
def test_a_review_has_its_stars(rating: Any, stars: int) -> None:
    review = track("Product Reviewed", {"rating": rating, "product_id": "A", "review_body": "fine"})
    assert data_of(review) == {"rating": stars, "text": "fine", "sku": "A"}


@pytest.mark.parametrize("rating", [0, 9, "0.3", "good", True, [], 1e300])
def test_a_rating_of_another_scale_is_refused(rating: Any) -> None:
    assert paths(track("Product Reviewed", {"rating": rating})) == ["properties.rating"]


def test_a_review_without_stars_is_an_event_of_the_shops_own() -> None:
    assert event_of(track("Product Reviewed", {"a": 1}))["type"] == "custom.product_reviewed"


def test_what_became_of_a_mail_names_the_mail_or_else_the_campaign_or_the_call() -> None:
    for properties, name in (
        ({"email_id": "mail-1", "campaign_id": "k"}, "mail-1"),
        ({"campaign_id": 5}, "5"),
        ({}, "m-1"),
    ):
        data = data_of(track("Email Link Clicked", properties))
        assert data == {"message_id": name, "channel": "email"}
    nameless = call(event="Email Opened", messageId=None)
    assert paths(nameless) == ["properties.email_id"]
