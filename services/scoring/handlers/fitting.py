"""Fitting the shop's own model: on request, when it is time, when there is more to learn from."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from services.scoring.domain.decay import DAY_SECONDS
from services.scoring.domain.fitting import Fitted, Purchases, TooLittle, fit
from services.scoring.domain.models import to_plain
from services.scoring.store import models
from services.scoring.store.models import Fit
from services.scoring.store.people import Driver
from shared.clock import monotonic_seconds
from shared.money import exponent
from shared.runtime.service import Context
from shared.runtime.telemetry import logger

_log = logger("scoring.fit")
LONG_COUNT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Material:
    """What a fit is made of: purchase days up to an instant, in the shop's currency."""

    cut: datetime
    purchases: int
    currency: str
    days: Purchases

    @property
    def cut_day(self) -> int:
        return int(self.cut.timestamp()) // DAY_SECONDS

    @property
    def window(self) -> tuple[datetime, datetime] | None:
        """From the first purchase day to the cut."""
        if not len(self.days.day):
            return None
        first = int(self.days.day.min())
        return datetime.fromtimestamp(first * DAY_SECONDS, UTC), self.cut


async def refit(context: Context, now: datetime) -> bool:
    """Fits and activates a model if one was requested or is due; in a thread, off the loop."""
    if not context.settings.fit:
        return False
    async with context.transaction() as tx:
        number = await models.waiting(tx.driver)
        if number is None:
            if not await _due(context, tx.driver, now):
                return False
            number = await models.request(tx.driver, now)
    material = await _material(context, now)
    work = partial(
        fit,
        material.days,
        name=f"mbg-nbd-{number}",
        cut=material.cut_day,
        horizon_days=context.settings.horizon_days,
        currency=material.currency,
        unit=10 ** exponent(material.currency),
    )
    try:
        ended = _ended(await asyncio.to_thread(work), material)
    except (ArithmeticError, ValueError) as error:
        ended = _failed(str(error), material)
    async with context.transaction() as tx:
        await models.finish(tx.driver, number, ended)
        if ended.status == "ready":
            await models.activate(tx.driver, number)
    _log.info("model fitted", model=number, status=ended.status, purchases=ended.purchases)
    return False


async def _due(context: Context, driver: Driver, now: datetime) -> bool:
    """Whether the purchases have grown enough, or the model is old and there are new ones."""
    settings, means = context.settings, context.resources
    started = monotonic_seconds()
    if started < means.count_again_at:
        return False
    purchases = await models.purchases_until(driver, now)
    means.count_again_at = count_again_at(started, monotonic_seconds())
    latest = await models.latest_fit(driver)
    if latest is None:
        return bool(purchases >= settings.fit_purchases_min)
    fitted_at, then = latest
    grown = purchases >= max(then, 1) * settings.fit_growth_factor
    old = now - fitted_at >= timedelta(days=settings.fit_period_days)
    return grown or (old and purchases > then)


def count_again_at(started: float, ended: float) -> float:
    """When purchases may be counted again: a long count takes at most a hundredth of the time."""
    took = ended - started
    return ended + took * 100 if took > LONG_COUNT_SECONDS else ended


async def _material(context: Context, now: datetime) -> Material:
    async with context.transaction() as tx:
        purchases = await models.purchases_until(tx.driver, now)
        currency = await models.main_currency(tx.driver, now) or context.settings.currency
        return Material(
            now, purchases, currency, await models.purchase_days(tx.driver, now, currency)
        )


def _failed(reason: str, material: Material) -> Fit:
    return Fit("failed", material.cut, material.window, material.purchases, None, None, reason)


def _ended(result: Fitted | TooLittle, material: Material) -> Fit:
    if isinstance(result, TooLittle):
        return Fit(
            "refused",
            material.cut,
            material.window,
            material.purchases,
            None,
            None,
            result.reason,
        )
    return Fit(
        "ready",
        material.cut,
        material.window,
        material.purchases,
        to_plain(result.model),
        result.metrics,
    )
