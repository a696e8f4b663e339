"""The summary shows what a person asks first."""

import io
from collections import Counter
from decimal import Decimal
from typing import Any

from rich.console import Console

from stack.demo.sender import Tally
from stack.demo.simulator import SimulatedShop
from stack.demo.subscriber import Subscriber
from stack.demo.summary import AtRisk, Outcome, show

OVERVIEW: dict[str, Any] = {
    "customers": {"known": 1_987, "active": 900, "new": 700},
    "retention": {
        "assessed": 1_985,
        "by_band": {"low": 900, "medium": 500, "high": 400, "critical": 185},
        "clv": [{"currency": "GBP", "historic": "1", "predicted_12m": "123456.78"}],
    },
    "interventions": {
        "planned": 60, "sent": 41, "failed": 0, "suppressed": 19, "converted": 11,
        "suppressed_by_rule": {"consent": 15, "cap": 4},
    },
    "loyalty": {"awarded": 700_123, "reversed": 4_321, "members_by_tier": {"gold": 12}},
}  # fmt: skip


def audit(differences: int = 0) -> dict[str, Any]:
    checks = [
        {"name": "balances", "ok": not differences, "differences": differences},
        {"name": "lots", "ok": True, "differences": 0},
    ]
    return {"ok": not differences, "accounts": 1_987, "entries": 23_456, "checks": checks}


def shown(**changed: Any) -> str:
    tally = Tally(accepted=60_000, rejected=Counter({"order.completed: data.total: wrong": 3}))
    tally.by_type["order.completed"] = 9_876
    subscriber = Subscriber(hear=lambda _: None, verified=Counter({"points.awarded": 9_000}))
    given: dict[str, Any] = {
        "history": SimulatedShop(),
        "tally": tally,
        "subscriber": subscriber,
        "seconds": 60.0,
        "overview": OVERVIEW,
        "at_risk": (
            AtRisk("c-7", "critical", 0.913, Decimal("812.5"), "GBP", ("Silent for 74 days.",)),
        ),
        "audit": audit(),
        **changed,
    }
    out = io.StringIO()
    show(Console(file=out, width=140), Outcome(**given))
    return out.getvalue()


def test_all_that_matters_is_there() -> None:
    text = shown(came_back=9)
    for needed in (
        *("60,000", "1,000 a second", "9,876", "data.total: wrong", "1,987", "1,985", "185"),
        *("c-7", "91% critical", "812.50 GBP", "Silent for 74 days.", "123,457 GBP"),
        *("planned", "60", "41", "held", "19", "consent", "15", "cap"),
        *("700,123", "4,321", "gold", "1,975", "right", "23,456", "9,000", "points.awarded"),
        *("answered with an order", "9"),
    ):
        assert needed in text, needed


def test_a_reason_with_brackets_is_shown_as_it_is() -> None:
    one = AtRisk("c-[red]7", "high", 0.7, Decimal(1), "GBP", ("[bold]not bold",))
    text = shown(at_risk=(one,))
    assert "c-[red]7" in text
    assert "[bold]not bold" in text


def test_books_that_do_not_add_up_are_not_hidden() -> None:
    assert "WRONG" in shown(audit=audit(differences=3))
    assert "differences: balances" in shown(audit=audit(differences=3))
    assert "WRONG" not in shown()


def test_figures_taken_too_early_are_marked() -> None:
    assert "still going on" in shown(came_to_rest=False)
    assert "still going on" not in shown()


def test_an_empty_shop_is_shown_too() -> None:
    text = shown(tally=Tally(), at_risk=(), seconds=0.0)
    assert "accepted" in text
    assert "Most valuable" not in text
