"""What became of the history, asked from the public APIs and shown to a person."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table

from stack.demo.happening import DEVICE, GUEST, ORDER, History
from stack.demo.sender import Tally
from stack.demo.subscriber import Subscriber
from stack.errors import StackError

AT_RISK = ("critical", "high")
BANDS = ("low", "medium", *reversed(AT_RISK))
SHOWN_AT_RISK = 5
# More than are shown, because guests cannot be called and are left out.
ASKED_AT_RISK = 200
SHOWN_REASONS = 3
_COLOURS = {"low": "green", "medium": "yellow", "high": "dark_orange", "critical": "red"}


@dataclass(frozen=True, slots=True)
class AtRisk:
    """A customer who is worth a call, and why scoring thinks so."""

    customer_id: str
    band: str
    risk: float
    predicted_12m: Decimal
    currency: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the summary is made of. `came_back`: customers whom an intervention brought back."""

    history: History
    tally: Tally
    subscriber: Subscriber
    seconds: float
    overview: Mapping[str, Any]
    at_risk: tuple[AtRisk, ...]
    audit: Mapping[str, Any]
    dead: int = 0
    came_back: int | None = None
    came_to_rest: bool = True


async def ask(client: httpx.AsyncClient, urls: Mapping[str, str], history: History) -> Any:
    """(overview, customers at risk, audit) from insights, scoring and loyalty."""
    whole = {
        "from": (history.starts_at.date() - timedelta(days=7)).isoformat(),
        "to": (history.ends_at.date() + timedelta(days=1)).isoformat(),
    }
    return await asyncio.gather(
        _get(client, f"{urls['insights']}/v1/metrics/overview", whole),
        _most_valuable(client, urls["scoring"]),
        _get(client, f"{urls['loyalty']}/v1/audit", {}),
    )


async def _get(client: httpx.AsyncClient, url: str, parameters: Mapping[str, str]) -> Any:
    answer = await client.get(url, params=dict(parameters))
    if not answer.is_success:
        raise StackError(
            f"{url} answered {answer.status_code}: {answer.text[:200]}.", "See its log."
        )
    return answer.json()


async def _most_valuable(client: httpx.AsyncClient, scoring: str) -> tuple[AtRisk, ...]:
    """The at-risk customers with a name who are expected to spend the most in twelve months."""
    pages = await asyncio.gather(
        *(
            _get(
                client,
                f"{scoring}/v1/customers",
                {"band": band, "sort": "clv", "limit": str(ASKED_AT_RISK)},
            )
            for band in AT_RISK
        )
    )
    found = [
        _at_risk(one)
        for page in pages
        for one in page["items"]
        if not one["customer_id"].startswith((GUEST, DEVICE))
    ]
    return tuple(sorted(found, key=lambda one: one.predicted_12m, reverse=True)[:SHOWN_AT_RISK])


def _at_risk(assessment: Mapping[str, Any]) -> AtRisk:
    churn, clv = assessment["churn"], assessment["clv"]
    worst = sorted(churn["drivers"], key=lambda driver: -float(driver["contribution"]))
    return AtRisk(
        customer_id=assessment["customer_id"],
        band=churn["band"],
        risk=float(churn["risk"]),
        predicted_12m=Decimal(str(clv["predicted_12m"])),
        currency=clv["currency"],
        reasons=tuple(driver["text"] for driver in worst[:SHOWN_REASONS]),
    )


def show(console: Console, outcome: Outcome) -> None:
    """Prints it."""
    parts: list[RenderableType] = [_events(outcome), _customers(outcome)]
    if outcome.at_risk:
        parts.append(_at_risk_table(outcome.at_risk))
    parts += [_actions(outcome), _loyalty(outcome), _webhooks(outcome)]
    console.print(
        Panel(Group(*parts), title=f"[bold]{outcome.history.title}[/bold]", padding=(1, 2))
    )
    if not outcome.came_to_rest:
        console.print("[yellow]Some work was still going on when this was counted.[/yellow]")


def _table(title: str) -> Table:
    table = Table(title=title, box=None, show_header=False, title_justify="left", pad_edge=False)
    table.title_style = "bold cyan"
    table.add_column(min_width=22, style="dim")
    table.add_column(justify="right", min_width=12)
    table.add_column(overflow="fold")
    return table


def _row(table: Table, name: str, figure: Any, remark: str = "") -> None:
    shown = f"{figure:,}" if isinstance(figure, int) else str(figure)
    table.add_row(plain(name), shown, plain(remark))


def _events(outcome: Outcome) -> Table:
    tally, table = outcome.tally, _table("Events")
    rate = tally.accepted / outcome.seconds if outcome.seconds else 0
    _row(table, "accepted", tally.accepted, f"in {outcome.seconds:,.0f} s, {rate:,.0f} a second")
    _row(table, "of them orders", tally.by_type[ORDER])
    _row(table, "rejected", tally.rejected.total())
    for reason, count in tally.rejected.most_common(SHOWN_REASONS):
        _row(table, "", count, reason)
    not_sent = outcome.history.not_sent
    if not_sent:
        _row(table, "not sent", sum(not_sent.values()), "the books' own entries:")
    for reason, count in sorted(not_sent.items(), key=lambda one: -one[1]):
        _row(table, "", count, reason)
    if tally.resent_requests:
        _row(table, "requests sent again", tally.resent_requests, "with the same ids")
    _row(table, "dead letters", outcome.dead, "`tenure dead-letters list`" if outcome.dead else "")
    return table


def _customers(outcome: Outcome) -> Table:
    customers, retention = outcome.overview["customers"], outcome.overview["retention"]
    table = _table("\nCustomers")
    _row(table, "known", customers["known"])
    _row(table, "scored", retention["assessed"])
    by_band = retention["by_band"]
    whole = max(1, sum(by_band.values()))
    for band in BANDS:
        count = by_band.get(band, 0)
        bar = "█" * round(30 * count / whole)
        table.add_row(f"  churn risk {band}", f"{count:,}", f"[{_COLOURS[band]}]{bar}[/]")
    for value in retention["clv"]:
        worth = f"{Decimal(str(value['predicted_12m'])):,.0f} {value['currency']}"
        _row(table, "expected, 12 months", worth)
    return table


def _at_risk_table(customers: tuple[AtRisk, ...]) -> Table:
    table = Table(
        title="\nMost valuable customers at risk", box=None, title_justify="left", pad_edge=False
    )
    table.title_style = "bold cyan"
    for heading in ("customer", "risk", "worth in 12 months", "why"):
        table.add_column(heading, overflow="fold", header_style="dim")
    for one in customers:
        colour = _COLOURS.get(one.band, "white")
        table.add_row(
            plain(one.customer_id),
            f"[{colour}]{one.risk:.0%} {one.band}[/]",
            f"{one.predicted_12m:,.2f} {one.currency}",
            plain("\n".join(one.reasons)),
        )
    return table


def _actions(outcome: Outcome) -> Table:
    made = outcome.overview["interventions"]
    table = _table("\nInterventions")
    for name in ("planned", "sent", "converted", "failed"):
        _row(table, name, made[name])
    _row(table, "held", made["suppressed"])
    for rule, count in sorted(made["suppressed_by_rule"].items(), key=lambda one: -one[1]):
        _row(table, "", count, rule)
    if outcome.came_back is not None:
        _row(table, "answered with an order", outcome.came_back, "the simulation knows")
    return table


def _loyalty(outcome: Outcome) -> Table:
    loyalty, table = outcome.overview["loyalty"], _table("\nLoyalty")
    _row(table, "points awarded", loyalty["awarded"])
    _row(table, "points reversed", loyalty["reversed"])
    audit = outcome.audit
    for tier, count in _tiers(loyalty["members_by_tier"], audit["accounts"]).items():
        _row(table, f"  {tier}", count)
    books = "right" if audit["ok"] else "WRONG"
    _row(table, "books", books, f"{audit['entries']:,} entries of {audit['accounts']:,} accounts")
    for check in audit["checks"]:
        if not check["ok"]:
            _row(table, "", check["differences"], f"differences: {check['name']}")
    return table


def _tiers(told: Mapping[str, int], accounts: int) -> dict[str, int]:
    """Members by tier, the highest first; whose tier never changed is in the first one, bronze."""
    above = {tier: told.get(tier, 0) for tier in ("gold", "silver")}
    return {**above, "bronze": accounts - sum(above.values())}


def _webhooks(outcome: Outcome) -> Table:
    heard, table = outcome.subscriber, _table("\nWebhooks")
    _row(table, "delivered and verified", heard.verified.total())
    for kind, count in heard.verified.most_common(SHOWN_REASONS):
        _row(table, "", count, kind)
    _row(table, "signatures refused", heard.refused.total(), ", ".join(heard.refused))
    _row(table, "delivered again", heard.repeated, "same id, counted once")
    return table


def plain(text: str) -> str:
    """Square brackets would be read as markup."""
    return text.replace("[", r"\[")
