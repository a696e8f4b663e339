"""Two ids become one customer and two again, by an operator: exactly, and once."""

import asyncio
from typing import Any

import pytest

from services.ingest.handlers import admit
from services.ingest.handlers.opening import open_bundle
from services.ingest.main import build
from services.ingest.store import identities
from shared.clock import ManualClock
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.deciding import ask, do, person, subjects, told
from tests.integration.ingest.posting import record_of, seen, tell, visit


@pytest.fixture
async def service(database_url: str) -> Any:
    async with running(build, database_url, clock=ManualClock(NOON)) as started:
        yield started


async def test_an_alias_makes_two_customers_one_with_all_visitors_of_both(
    service: Running,
) -> None:
    await tell(service, seen("v", "old"), seen("w", "new"))
    done = await do(service, "/customers/new/aliases", 201, previous_id="old")
    await tell(service, visit(customer_id="old", id="e-9"), seen("v", id="e-10"))

    assert done["customer_id"] == "new"
    assert (done["merge"]["through"], done["merge"]["made_by"]) == ("alias", "/keys/operate")
    assert await person(service, "v") == ("new", ["new", "old", "v", "w"])
    assert ("merged", "old", "new") in told(service)
    assert subjects(service)["e-9"] == ("new", "old")
    assert subjects(service)["e-10"] == ("new", "v")


async def test_an_alias_asked_for_twice_is_made_once(service: Running) -> None:
    first = await do(service, "/customers/new/aliases", 201, previous_id="old")
    again = await do(service, "/customers/new/aliases", 200, previous_id="old")

    assert again == first
    assert told(service) == [("merged", "old", "new")]


async def test_a_visitor_whom_an_alias_makes_known_leaves_whom_events_gave_it_to(
    service: Running,
) -> None:
    await tell(service, seen("v", "c", id="e-1"))
    await do(service, "/customers/d/aliases", 201, previous_id="v")

    assert told(service) == [("merged", "v", "c"), ("unmerged", "v", "c"), ("merged", "v", "d")]
    assert await person(service, "v") == ("d", ["d", "v"])
    (link,) = [
        one
        for one in (await ask(service, "/customers/v/merges"))["items"]
        if one["through"] == "event"
    ]
    assert (link["event_id"], link["ended_because"]) == ("e-1", "corrected")
    await do(service, f"/merges/{link['id']}/undo", 409)


async def test_an_alias_undone_gives_a_visitor_back_to_whom_events_gave_it_to(
    service: Running,
) -> None:
    await tell(service, seen("v", "p", id="e-1"))
    made = await do(service, "/customers/d/aliases", 201, previous_id="v")
    await do(service, f"/merges/{made['merge']['id']}/undo")
    await tell(service, seen("v", "p", id="e-2"), seen("v", id="e-3"))

    assert told(service)[1:] == [
        ("unmerged", "v", "p"),
        ("merged", "v", "d"),
        ("unmerged", "v", "d"),
        ("merged", "v", "p"),
    ]
    assert await person(service, "v") == ("p", ["p", "v"])
    assert subjects(service)["e-3"] == ("p", "v")
    assert (await ask(service, "/identity-conflicts"))["items"] == []
    (link,) = [
        one
        for one in (await ask(service, "/customers/v/merges"))["items"]
        if one["ended_at"] is None
    ]
    assert (link["through"], link["event_id"], link["survivor_id"]) == ("event", "e-1", "p")
    await tell(service, seen("v", "earlier", id="e-4", occurred_at="2026-03-01T12:00:00Z"))
    assert (await person(service, "v"))[0] == "earlier"


async def test_an_undo_leaves_known_what_another_alias_or_an_event_names(
    service: Running,
) -> None:
    await tell(service, seen("v", "p"), seen("w", "p"))
    first, _ = [
        await do(service, f"/customers/{one}/aliases", 201, previous_id="v") for one in ("d", "f")
    ]
    named = await do(service, "/customers/d/aliases", 201, previous_id="w")
    await tell(service, visit(customer_id="w"))
    for made in (first, named):
        await do(service, f"/merges/{made['merge']['id']}/undo")
    await tell(service, seen("v", "p"), seen("w", "p"), seen("d", "p"))

    assert await person(service, "v") == ("f", ["f", "v"])
    assert await person(service, "w") == ("w", ["w"])
    assert (await person(service, "d"))[0] == "p", "nothing but aliases ever named it"


async def test_an_alias_in_the_other_direction_is_refused_until_the_first_is_undone(
    service: Running,
) -> None:
    made = await do(service, "/customers/new/aliases", 201, previous_id="old")
    preview = await ask(service, "/customers/old/merge-preview", previous_id="new")
    refused = await do(service, "/customers/old/aliases", 409, previous_id="new")
    await do(service, f"/merges/{made['merge']['id']}/undo")
    turned = await do(service, "/customers/old/aliases", 201, previous_id="new", rejoin=True)

    assert preview["denied"] == refused["reason"] == "reversed"
    assert turned["customer_id"] == "old"


@pytest.mark.parametrize("bad", ["null", "000-000", "Guest", "x" * 201, "", "new", "a\tb"])
async def test_an_alias_of_an_id_that_is_nobodys_is_refused(service: Running, bad: str) -> None:
    reply = await do(service, "/customers/new/aliases", 422, previous_id=bad)

    assert bad == "new" or reply["errors"][0]["path"] == "body.previous_id"
    assert told(service) == []


async def test_only_who_may_operate_decides_who_is_who(service: Running) -> None:
    for path, body in (
        ("/customers/new/aliases", {"previous_id": "old"}),
        ("/merges/m/undo", {}),
    ):
        for scope in ("ingest", "read"):
            reply = await service.client.post(
                f"/v1{path}",
                json=body,
                headers=service.key(scope),
            )
            assert reply.status_code == 403


async def test_a_preview_tells_what_would_be_one_and_changes_nothing(service: Running) -> None:
    await tell(service, seen("v", "old"), seen("w", "new"), seen("x", "new"))
    path = "/customers/new/merge-preview"

    seen_before = await ask(service, path, previous_id="old")
    visitor = await ask(service, path, previous_id="x")

    assert seen_before == {
        "already_one": False,
        "ids_count": 5,
        "denied": None,
        "sides": [
            {"customer_id": "new", "ids": ["new", "w", "x"], "ids_count": 3},
            {"customer_id": "old", "ids": ["old", "v"], "ids_count": 2},
        ],
    }
    assert (visitor["already_one"], visitor["ids_count"]) == (True, 3)
    assert await person(service, "old") == ("old", ["old", "v"])
    await do(service, "/customers/new/aliases", 201, previous_id="old")
    after = await ask(service, path, previous_id="old")
    assert (after["already_one"], after["ids_count"], len(after["sides"])) == (True, 5, 1)


async def test_an_undone_link_stays_undone_whatever_events_say_and_undoing_it_again_is_nothing(
    service: Running,
) -> None:
    await tell(service, seen("v", id="e-1"), seen("v", "c", id="e-2"))
    (merge,) = (await ask(service, "/customers/v/merges"))["items"]
    assert (merge["event_id"], merge["made_by"]) == ("e-2", "/sources/ingest")

    undone = await do(service, f"/merges/{merge['id']}/undo")
    again = await do(service, f"/merges/{merge['id']}/undo")
    await tell(service, seen("v", "c", id="e-3"), seen("v", id="e-4"))

    assert again == undone
    assert undone["merge"]["ended_by"] == "/keys/operate"
    assert (undone["absorbed_leads_to"], undone["still_together"]) == ("v", False)
    assert told(service) == [("merged", "v", "c"), ("unmerged", "v", "c")]
    assert subjects(service) == {
        "e-1": ("v", None),
        "e-2": ("c", None),
        "e-3": ("c", None),
        "e-4": ("v", None),
    }
    (conflict,) = (await ask(service, "/identity-conflicts", reason="undone"))["items"]
    assert (conflict["anonymous_id"], conflict["event_id"]) == ("v", "e-3")


async def test_an_operator_may_join_again_what_was_undone_and_must_say_so(
    service: Running,
) -> None:
    made = await do(service, "/customers/new/aliases", 201, previous_id="old")
    await do(service, f"/merges/{made['merge']['id']}/undo")

    refused = await do(service, "/customers/new/aliases", 409, previous_id="old")
    turned = await do(service, "/customers/old/aliases", 409, previous_id="new")
    await do(service, "/customers/new/aliases", 201, previous_id="old", rejoin=True)

    assert refused["reason"] == turned["reason"] == "undone"
    assert told(service) == [
        ("merged", "old", "new"),
        ("unmerged", "old", "new"),
        ("merged", "old", "new"),
    ]
    log = (await ask(service, "/customers/old/merges"))["items"]
    assert sorted(str(one["ended_because"]) for one in log) == ["None", "undone"]


async def test_an_undo_takes_one_reason_away_and_says_when_others_hold(service: Running) -> None:
    first = await do(service, "/customers/b/aliases", 201, previous_id="a")
    await do(service, "/customers/c/aliases", 201, previous_id="b")
    await do(service, "/customers/c/aliases", 201, previous_id="a")

    undone = await do(service, f"/merges/{first['merge']['id']}/undo")

    assert undone["still_together"]
    assert await person(service, "a") == ("c", ["a", "b", "c"])


async def test_an_undo_in_the_middle_splits_a_person_exactly(service: Running) -> None:
    await tell(service, *(seen(f"v-{name}", name) for name in "abc"))
    first = await do(service, "/customers/b/aliases", 201, previous_id="a")
    await do(service, "/customers/c/aliases", 201, previous_id="b")

    await do(service, f"/merges/{first['merge']['id']}/undo")

    assert await person(service, "a") == ("a", ["a", "v-a"])
    assert await person(service, "v-b") == ("c", ["b", "c", "v-b", "v-c"])


async def test_an_event_of_an_earlier_time_corrects_a_link_and_the_log_shows_both(
    service: Running,
) -> None:
    await tell(
        service,
        seen("v", "late", id="e-1", occurred_at="2026-03-02T10:00:00Z"),
        seen("v", "early", id="e-2", occurred_at="2026-03-02T09:00:00Z"),
    )

    assert told(service) == [
        ("merged", "v", "late"),
        ("unmerged", "v", "late"),
        ("merged", "v", "early"),
    ]
    log = (await ask(service, "/customers/v/merges"))["items"]
    assert {one["survivor_id"]: (one["event_id"], one["ended_by"]) for one in log} == {
        "late": ("e-1", "e-2"),
        "early": ("e-2", None),
    }
    assert (await person(service, "v"))[0] == "early"


async def test_the_log_of_merges_comes_in_pages(service: Running) -> None:
    await tell(service, *(seen(f"v-{n}", "c") for n in range(5)))
    items, cursor = [], None
    while True:
        page = await ask(service, "/customers/c/merges", limit=2, **_after(cursor))
        items += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break

    assert {one["absorbed_id"] for one in items} == {f"v-{n}" for n in range(5)}
    assert len(items) == 5


def _after(cursor: str | None) -> dict[str, str]:
    return {"cursor": cursor} if cursor is not None else {}


async def test_what_was_not_merged_is_listed_in_pages_and_by_reason(database_url: str) -> None:
    limits = {"identity_links_max": 3, "identity_merges_per_day_max": 2}
    async with running(build, database_url, clock=ManualClock(NOON), settings=limits) as service:
        await tell(service, *(seen(f"v-{n}", "till") for n in range(5)), seen("till", "c"))

        many = await ask(service, "/identity-conflicts", reason="too_many_merges", limit=2)
        rest = await ask(
            service, "/identity-conflicts", reason="too_many_merges", cursor=many["next_cursor"]
        )
        known = await ask(service, "/identity-conflicts", reason="known_customer")

    names = [one["anonymous_id"] for one in (*many["items"], *rest["items"])]
    assert sorted(names) == ["v-2", "v-3", "v-4"]
    assert rest["next_cursor"] is None
    assert [one["anonymous_id"] for one in known["items"]] == ["till"]


async def test_an_alias_beyond_the_ids_of_one_customer_is_refused_and_listed(
    database_url: str,
) -> None:
    async with running(build, database_url, settings={"identity_links_max": 3}) as service:
        await tell(service, seen("v", "a"), seen("w", "b"), seen("x", "b"))

        preview = await ask(service, "/customers/b/merge-preview", previous_id="a")
        refused = await do(service, "/customers/b/aliases", 409, previous_id="a")

        assert preview["denied"] == refused["reason"] == "too_many_ids"
        (conflict,) = (await ask(service, "/identity-conflicts", reason="too_many_ids"))["items"]
        assert (conflict["anonymous_id"], conflict["customer_id"]) == ("a", "b")
        assert conflict["event_id"] is None, "an operator asked for it"
        assert await person(service, "a") == ("a", ["a", "v"])


async def test_an_undo_asked_for_by_many_at_once_is_done_once(service: Running) -> None:
    await tell(service, seen("v", "c"))
    (merge,) = (await ask(service, "/customers/v/merges"))["items"]

    answers = await asyncio.gather(*(do(service, f"/merges/{merge['id']}/undo") for _ in range(6)))

    assert all(one == answers[0] for one in answers)
    assert told(service) == [("merged", "v", "c"), ("unmerged", "v", "c")]


async def test_whoever_is_linked_while_customers_are_joined_and_parted_ends_where_they_do(
    service: Running,
) -> None:
    """Replicas link visitors and operators decide, all at once: nobody is left behind."""

    async def link(serial: int) -> None:
        (message,) = open_bundle(
            record_of(seen(f"v-{serial}", f"c-{serial % 4}", id=f"e-{serial}"))
        )
        async with service.context.transaction() as tx:
            await admit.admit(tx, [message.event], now=NOON)

    async def decide(serial: int) -> None:
        made = await do(
            service, f"/customers/c-{serial + 1}/aliases", 201, previous_id=f"c-{serial}"
        )
        if serial == 1:
            await do(service, f"/merges/{made['merge']['id']}/undo")

    await asyncio.gather(*(link(n) for n in range(40)), *(decide(n) for n in range(3)))

    leads_to = {"c-0": "c-1", "c-1": "c-1", "c-2": "c-3", "c-3": "c-3"}
    async with service.context.read() as session:
        found = await identities.load(session.driver, [f"v-{n}" for n in range(40)])
    assert {name: one.canonical_id for name, one in found.items()} == {
        f"v-{n}": leads_to[f"c-{n % 4}"] for n in range(40)
    }


async def test_an_id_that_nobody_named_has_no_merges_and_a_foreign_merge_is_not_there(
    service: Running,
) -> None:
    reply = await service.client.get("/v1/customers/nobody/merges", headers=service.key("read"))

    assert reply.status_code == 404
    await do(service, "/merges/no-such/undo", 404)
