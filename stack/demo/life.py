"""One customer's life in the simulated shop: trips, orders and what follows from them."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from stack.demo import words
from stack.demo.happening import DEVICE, ORDER, Happening
from stack.demo.people import Person

CURRENCY = "GBP"
CENT = Decimal("0.01")
NEWSLETTER_EVERY = timedelta(days=14)
HURRY_BEFORE_CHRISTMAS = 0.7


@dataclass(slots=True)
class Life:
    """Makes what one person does between two instants, in time order, from one seed.

    Ids are counted per life, so they are the same in every run of the same seed.
    """

    person: Person
    rng: Random
    id_prefix: str
    order_prefix: str
    ends_at: datetime
    lost: bool = False
    orders: int = 0
    _serial: int = 0
    _pending: list[tuple[datetime, int, Happening]] = field(default_factory=list)

    def happenings(self, starts_at: datetime) -> Iterator[Happening]:
        """From arrival to `ends_at`."""
        trip_at = self._arrive(starts_at)
        while not self.lost and trip_at < self.ends_at:
            yield from self.until(trip_at)
            self.trip(trip_at)
            following_at = trip_at + self._pause(trip_at)
            self._between(trip_at, min(following_at, self.ends_at))
            trip_at = following_at
        if self.lost:
            self._between(trip_at, self.ends_at)
        yield from self.until(self.ends_at)

    def until(self, instant: datetime) -> Iterator[Happening]:
        """What is due up to an instant, in order."""
        while self._pending and self._pending[0][0] <= instant:
            yield heapq.heappop(self._pending)[2]

    def tell(
        self, at: datetime, kind: str, data: dict[str, Any] | None = None, **ids: str | None
    ) -> None:
        """Something happens to this person; what lies after the end never does."""
        if at > self.ends_at:
            return
        self._serial += 1
        happening = Happening(
            at=at.replace(microsecond=at.microsecond // 1000 * 1000),
            id=f"{self.id_prefix}-{self._serial:04d}",
            type=kind,
            person=self.person.id,
            data=data or {},
            context=self._context(),
            **(ids or {"customer_id": self.person.id}),
        )
        heapq.heappush(self._pending, (happening.at, self._serial, happening))

    def trip(self, at: datetime, coupon: str | None = None) -> None:
        """A visit that ends with an order."""
        goods = self._visit(at, buys=True)
        self._checkout(at + timedelta(minutes=self.rng.uniform(4, 25)), goods, coupon)

    def _arrive(self, starts_at: datetime) -> datetime:
        """Known customers are imported at the start; newcomers look round first, unnamed."""
        person = self.person
        if not person.newcomer:
            self._introduce(starts_at + timedelta(seconds=self.rng.uniform(0, 3600)))
            return starts_at + timedelta(days=self.rng.uniform(0.1, 1.2 * person.interval_days))
        device = f"{DEVICE}{person.number:05d}"
        for days_before in (2.5, 0.8):
            self._visit(person.joined_at - timedelta(days=days_before), device=device)
        self._introduce(person.joined_at, device=device)
        return person.joined_at + timedelta(minutes=12)

    def _introduce(self, at: datetime, device: str | None = None) -> None:
        person = self.person
        consent = {"marketing": person.consents, "retention": person.consents, "service": True}
        traits: dict[str, Any] = {
            "name": person.name,
            "email": person.email,
            "phone": person.phone,
            "country": person.country,
            "timezone": person.timezone,
            "locale": person.locale,
            "acquired_at": person.joined_at.isoformat(),
            "acquisition_channel": "referral" if person.advocate else self.rng.choice(
                ("search", "social", "direct")
            ),
            "consent": {"email": consent},
        }  # fmt: skip
        if person.account_manager:
            traits["account_manager"] = person.account_manager
        ids = {"customer_id": person.id} | ({"anonymous_id": device} if device else {})
        self.tell(at, "customer.updated", traits, **ids)

    def _visit(
        self, at: datetime, *, buys: bool = False, device: str | None = None
    ) -> list[dict[str, Any]]:
        """A session with some products looked at; answers what lies in the cart."""
        rng = self.rng
        ids = {"anonymous_id": device} if device else {}
        wanted = max(1, round(rng.gauss(self.person.basket, 0.8))) if buys else rng.randint(1, 2)
        goods = [self._line(product) for product in rng.sample(words.PRODUCTS, wanted)]
        self.tell(at, "session.started", {"url": "https://shop.example/"}, **ids)
        for number, line in enumerate(goods[:2], 1):
            seen = {"sku": line["sku"], "category": line["category"]}
            seen["duration_seconds"] = round(rng.uniform(5, 120), 1)
            self.tell(at + timedelta(minutes=number), "product.viewed", seen, **ids)
        return goods

    def _line(self, product: tuple[str, str, str, str]) -> dict[str, Any]:
        sku, name, category, price = product
        quantity = max(1, round(self.rng.expovariate(1.4 / self.person.generosity)))
        return {
            "sku": sku,
            "name": name,
            "category": category,
            "quantity": quantity,
            "unit_price": price,
        }

    def _checkout(self, at: datetime, goods: list[dict[str, Any]], coupon: str | None) -> None:
        rng, person = self.rng, self.person
        self.orders += 1
        order_id = f"{self.order_prefix}-{self.orders}"
        full = sum((line["quantity"] * Decimal(line["unit_price"]) for line in goods), Decimal(0))
        discount = (full * Decimal("0.10")).quantize(CENT) if coupon else Decimal(0)
        total = full - discount
        if rng.random() < 0.5:
            cart = {"cart_id": f"cart-{order_id}", "items": goods, "currency": CURRENCY}
            self.tell(at - timedelta(minutes=2), "cart.updated", cart | {"total": str(full)})
        if rng.random() < 0.02:
            failed = {"amount": str(total), "currency": CURRENCY, "order_id": order_id}
            failed["reason"] = "card declined"
            self.tell(at - timedelta(minutes=1), "payment.failed", failed)
        order: dict[str, Any] = {
            "order_id": order_id,
            "total": str(total),
            "currency": CURRENCY,
            "items": goods,
            "channel": "app" if person.likes_app else "web",
        }
        if coupon:
            order |= {"discount": str(discount), "coupon": coupon}
        if self.orders == 1 and person.advocate_code:
            order["referral_code"] = person.advocate_code
        self.tell(at, ORDER, order)
        self._aftermath(at, order_id, total, goods)

    def _aftermath(
        self, at: datetime, order_id: str, total: Decimal, goods: list[dict[str, Any]]
    ) -> None:
        """What an order may lead to, and whether this was the last one."""
        rng, person = self.rng, self.person
        unhappy = rng.random() < person.complains
        if rng.random() < 0.02:
            reason = rng.choice(words.REASONS_TO_CANCEL)
            gone_at = at + timedelta(hours=rng.uniform(0.2, 5))
            self.tell(gone_at, "order.cancelled", {"order_id": order_id, "reason": reason})
        elif rng.random() < (0.4 if unhappy else 0.04):
            self._refund(at + timedelta(days=rng.uniform(3, 20)), order_id, total, goods)
        if unhappy or rng.random() < 0.06:
            self._ask_for_help(at + timedelta(days=rng.uniform(1, 8)), order_id, unhappy=unhappy)
        self._opinion(at + timedelta(days=rng.uniform(6, 18)), goods, unhappy=unhappy)
        if rng.random() < 0.05:
            wrapped = {"order_id": order_id, "paper": "kraft", "card": True}
            self.tell(at + timedelta(minutes=1), "custom.gift_wrapped", wrapped)
        self.lost = rng.random() < person.drop_probability + (0.25 if unhappy else 0)

    def _refund(
        self, at: datetime, order_id: str, total: Decimal, goods: list[dict[str, Any]]
    ) -> None:
        back = self.rng.choice(goods)
        amount = min(total, back["quantity"] * Decimal(back["unit_price"]))
        refund = {
            "order_id": order_id,
            "refund_id": f"rf-{order_id}",
            "amount": str(amount),
            "currency": CURRENCY,
            "items": [back],
        }
        self.tell(at, "order.refunded", refund)

    def _ask_for_help(self, at: datetime, order_id: str, *, unhappy: bool) -> None:
        rng = self.rng
        category, subject, text = rng.choice(words.COMPLAINTS if unhappy else words.QUESTIONS)
        ticket = {"ticket_id": f"t-{order_id}", "channel": rng.choice(("email", "chat", "phone"))}
        opened = ticket | {"subject": subject, "text": text, "category": category}
        self.tell(at, "ticket.opened", opened)
        if rng.random() < 0.4:
            answer = ticket | {"text": rng.choice(words.GRUMBLES if unhappy else words.THANKS)}
            self.tell(at + timedelta(hours=rng.uniform(2, 30)), "ticket.replied", answer)
        happy_end = rng.random() < (0.35 if unhappy else 0.95)
        resolved = {
            "ticket_id": ticket["ticket_id"],
            "satisfaction": rng.choice((4, 5) if happy_end else (1, 2)),
            "text": rng.choice(words.THANKS if happy_end else words.GRUMBLES),
        }
        self.tell(at + timedelta(hours=rng.uniform(31, 120)), "ticket.resolved", resolved)

    def _opinion(self, at: datetime, goods: list[dict[str, Any]], *, unhappy: bool) -> None:
        rng, person = self.rng, self.person
        if rng.random() < 0.08:
            text = rng.choice(words.CRITICISM if unhappy else words.PRAISE)
            stars = rng.choice((1, 2) if unhappy else (4, 5))
            review = {"rating": stars, "text": text, "sku": goods[0]["sku"]}
            self.tell(at, "review.submitted", review)
        if rng.random() < 0.05:
            score = rng.randint(0, 5) if unhappy else rng.randint(7, 10)
            self.tell(at + timedelta(days=1), "survey.answered", {"survey": "nps", "score": score})
        if not unhappy and rng.random() < 0.02:
            shared = {"network": "mastodon", "kind": "share"}
            self.tell(at + timedelta(days=2), "social.engaged", shared)
        if not unhappy and rng.random() < 0.02:
            code = {"referral_code": person.referral_code}
            self.tell(at + timedelta(days=3), "referral.made", code)

    def _pause(self, at: datetime) -> timedelta:
        """Days to the next purchase: Gamma with this person's mean and regularity."""
        person = self.person
        days = self.rng.gammavariate(person.regularity, person.interval_days / person.regularity)
        hurried = HURRY_BEFORE_CHRISTMAS if at.month in {11, 12} else 1.0
        return timedelta(days=max(0.5, days * hurried))

    def _between(self, since: datetime, until: datetime) -> None:
        """Visits without an order and newsletters, until the next purchase or the end."""
        rng, person = self.rng, self.person
        if not self.lost:
            for _ in range(round(rng.expovariate(1 / person.visits_per_order))):
                self._visit(since + rng.random() * (until - since))
        interest = person.opens * (0.15 if self.lost else 1.0)
        issue_at = since + rng.random() * NEWSLETTER_EVERY
        while issue_at < until and person.consents:
            if rng.random() < interest:
                self._read_newsletter(issue_at)
            issue_at += NEWSLETTER_EVERY

    def _read_newsletter(self, at: datetime) -> None:
        message = {"message_id": f"news-{at:%Y%m%d}-{self.person.number}", "channel": "email"}
        machine = self.rng.random() < 0.1
        self.tell(at, "message.opened", message | {"machine": machine})
        if not machine and self.rng.random() < 0.25:
            self.tell(at + timedelta(minutes=2), "message.clicked", message | {"machine": False})

    def _context(self) -> dict[str, str]:
        rng = self.rng
        return {
            "channel": "app" if self.person.likes_app else "web",
            "campaign": rng.choice(words.CAMPAIGNS),
            "device": rng.choice(words.DEVICES),
            "locale": self.person.locale,
        }
