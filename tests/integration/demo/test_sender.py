"""The sender, against a door that lets in, refuses, is busy, or slams."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiohttp import web

from shared.retry import Backoff
from stack.demo.happening import Happening
from stack.demo.sender import Sender, SenderLimits, retry_after_seconds
from stack.errors import StackError
from tests.integration.demo.serving import serving

NOW = datetime(2025, 1, 1, tzinfo=UTC)
QUICK = Backoff(first_seconds=0.01, max_seconds=0.02)


def happening(number: int, person: str = "c-1") -> Happening:
    return Happening(
        at=NOW + timedelta(seconds=number),
        id=f"e-{number}",
        type="order.completed",
        person=person,
        data={"order_id": f"o-{number}", "total": "1.00", "currency": "GBP", "note": "x" * 50},
        customer_id=person,
    )


class Door:
    """Ingest as its contract describes it; `plan` is what to do before answering properly."""

    def __init__(self, plan: Sequence[str] = (), reject: Sequence[str] = ()) -> None:
        self.plan = list(plan)
        self.reject = set(reject)
        self.requests: list[list[dict[str, Any]]] = []
        self.admitted: list[dict[str, Any]] = []
        self.at_once = 0
        self.at_once_max = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        events: list[dict[str, Any]] = (await request.json())["events"]
        self.requests.append(events)
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        await asyncio.sleep(0.005)
        self.at_once -= 1
        what = self.plan.pop(0) if self.plan else "answer"
        if what == "slam":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if what == "lost answer":
            self._admit(events)
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if what != "answer":
            status, _, header = what.partition(" ")
            return web.json_response(
                {"detail": "as planned"},
                status=int(status),
                headers={"Retry-After": header} if header else {},
            )
        return self._admit(events)

    def _admit(self, events: list[dict[str, Any]]) -> web.Response:
        verdict: dict[str, list[dict[str, Any]]] = {"accepted": [], "rejected": []}
        for index, event in enumerate(events):
            if event["id"] in self.reject:
                flaw = {"path": "data.total", "message": "not a number"}
                verdict["rejected"].append({"index": index, "id": event["id"], "errors": [flaw]})
            else:
                verdict["accepted"].append({"index": index, "id": event["id"]})
                self.admitted.append(event)
        return web.json_response(verdict, status=202 if verdict["accepted"] else 422)


async def sent(door: Door, happenings: Sequence[Happening], **limits: Any) -> Sender:
    given: dict[str, Any] = {"backoff": QUICK, "patience_seconds": 5.0, **limits}
    async with serving(door.handle) as url, httpx.AsyncClient(base_url=url) as client:
        sender = Sender(client, SenderLimits(**given))
        await sender.send(happenings)
        return sender


async def test_everybody_s_events_arrive_in_their_order_over_several_lanes() -> None:
    door = Door()
    people = [f"c-{number % 40}" for number in range(600)]
    happenings = [happening(number, person) for number, person in enumerate(people)]
    sender = await sent(door, happenings, batch_events_max=20, lanes=4)
    for person in set(people):
        of_one = [one["id"] for one in door.admitted if one["customer_id"] == person]
        assert of_one == [one.id for one in happenings if one.person == person]
    assert sender.tally.accepted == sender.tally.by_type["order.completed"] == 600
    assert 1 < door.at_once_max <= 4
    assert max(len(request) for request in door.requests) == 20


async def test_a_request_is_bounded_in_bytes() -> None:
    door = Door()
    await sent(door, [happening(number) for number in range(10)], batch_bytes_max=500)
    assert len(door.requests) == 5
    assert [one["id"] for one in door.admitted] == [f"e-{number}" for number in range(10)]


@pytest.mark.parametrize("trouble", ["429 0", "503 0", "503", "500", "502", "slam"])
async def test_the_same_events_are_sent_again_after_trouble(trouble: str) -> None:
    door = Door(plan=[trouble, trouble])
    sender = await sent(door, [happening(1), happening(2)])
    assert [[one["id"] for one in request] for request in door.requests] == [["e-1", "e-2"]] * 3
    assert door.requests[0] == door.requests[2]
    assert (sender.tally.accepted, sender.tally.resent_requests) == (2, 2)


async def test_an_answer_that_got_lost_is_asked_for_again_with_the_same_ids() -> None:
    door = Door(plan=["lost answer"])
    sender = await sent(door, [happening(1)])
    assert [one["id"] for one in door.admitted] == ["e-1", "e-1"]
    assert sender.tally.accepted == 1


async def test_what_is_rejected_is_counted_by_its_reason_and_the_rest_goes_through() -> None:
    door = Door(reject=["e-2", "e-3"])
    sender = await sent(door, [happening(number) for number in range(1, 6)])
    assert sender.tally.accepted == 3
    assert sender.tally.rejected == {"order.completed: data.total: not a number": 2}


async def test_a_request_of_which_nothing_is_acceptable_is_counted_too() -> None:
    sender = await sent(Door(reject=["e-1"]), [happening(1)])
    assert sender.tally.rejected.total() == 1


async def test_a_request_that_is_too_large_is_halved_until_it_fits() -> None:
    door = Door(plan=["413", "413", "413"])
    sender = await sent(door, [happening(number) for number in range(4)])
    sizes = [len(request) for request in door.requests]
    assert sizes == [4, 2, 1, 1, 2]
    assert sender.tally.rejected == {"order.completed: larger than a request may be": 1}
    assert sender.tally.accepted == 3


@pytest.mark.parametrize("status", ["401", "403", "404", "422"])
async def test_a_door_that_refuses_altogether_is_an_error_a_person_can_read(status: str) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await sent(Door(plan=[status]), [happening(1)])
    (error,) = caught.value.exceptions
    assert isinstance(error, StackError)
    assert "as planned" in str(error)


async def test_patience_ends() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await sent(Door(plan=["503"] * 500), [happening(1)], patience_seconds=0.2)
    assert "away" in str(caught.value.exceptions[0])


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0),
        ("7", 7),
        ("100000", 60),
        ("Wed, 01 Jan 2025 00:00:09 GMT", 9),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 0),
        ("soon", 0),
        ("-3", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_reason(header: str, seconds: int) -> None:
    headers = httpx.Headers({"retry-after": header} if header else {})
    assert retry_after_seconds(headers, NOW) == seconds
