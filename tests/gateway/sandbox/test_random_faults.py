from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.sandbox.faults import KNOWN
from gateway.sandbox.random_faults import RandomFaults
from gateway.sandbox.refusals import RequestRefused
from tests.gateway.sandbox.running import listening, running


def drawn(wanted: dict[str, object], count: int = 1000) -> list[list[str]]:
    chances = RandomFaults()
    chances.set(wanted, 0)
    return [sorted(chances.due()) for _ in range(count)]


def test_the_same_seed_draws_the_same() -> None:
    wanted: dict[str, object] = {"lost_callback": 0.3, "500_after": 0.1, "seed": 7}
    assert drawn(wanted) == drawn(wanted)
    assert drawn(wanted) != drawn(wanted | {"seed": 8})


def test_a_fault_applies_about_as_often_as_its_chance() -> None:
    applied = drawn({"lost_callback": 0.3, "seed": 7}, 10_000)
    assert 2_700 < sum(bool(names) for names in applied) < 3_300


def test_one_more_fault_does_not_change_the_others() -> None:
    alone = drawn({"lost_callback": 0.3, "seed": 7})
    beside = drawn({"lost_callback": 0.3, "garbage": 0.5, "seed": 7})
    assert ["lost_callback" in names for names in alone] == ["lost_callback" in names for names in beside]


def test_every_fault_can_be_random_also_with_a_value() -> None:
    chances = RandomFaults()
    chances.set(dict.fromkeys(KNOWN, 1), 0)
    assert set(chances.due()) == set(KNOWN) - {"reset_early"}
    assert chances.early() is not None
    chances.set({"slow=2.5": 1.0}, 3)
    assert chances.due()["slow"].number() == 2.5
    assert chances.shown() == {"seed": 3, "chances": {"slow=2.5": 1.0}}


@pytest.mark.parametrize(
    "wanted",
    [
        {"meteor": 0.1},
        {"429": 1.1},
        {"429": -0.1},
        {"429": "0.1"},
        {"429": True},
        {"429*2": 0.1},
        {"429": 0.1, "429=3": 0.1},
        {"429": 0.1, "seed": "x"},
    ],
)
def test_an_invalid_chance_changes_nothing(wanted: dict[str, object]) -> None:
    chances = RandomFaults()
    chances.set({"500": 1}, 0)
    with pytest.raises(RequestRefused):
        chances.set(wanted, 0)
    assert set(chances.due()) == {"500"}


async def test_chances_are_set_shown_and_cleared_by_the_admin_route(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, style="vtrix") as up:
        wish = {"lost_callback": 1, "seed": 7}
        shown = (await up.client.post("/admin/chances", json=wish)).json()
        assert (shown["seed"], shown["chances"]) == (7, {"lost_callback": 1.0})
        assert (await up.client.get("/admin/chances")).json() == shown
        task_id = (await up.create(callback_url=listener.url)).json()["id"]
        await up.ended(task_id)
        (noted,) = await up.ledger("fault", task_id)
        assert (noted["fault"], noted["by"]) == ("lost_callback", "chance")
        assert listener.calls == []
        assert (await up.client.delete("/admin/chances")).json()["chances"] == {}
        await up.create(callback_url=listener.url)
        await listener.heard(1)


async def test_a_marker_takes_precedence_over_a_random_fault(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        await up.client.post("/admin/chances", json={"429": 1})
        assert (await up.create(prompt="[[fault:429=5]] fox")).headers["retry-after"] == "5"
        assert (await up.ledger("fault"))[0]["by"] == "marker"


async def test_an_early_reset_can_be_random(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        await up.client.post("/admin/chances", json={"reset_early": 1})
        with pytest.raises(httpx.TransportError):
            await up.create()
        assert (await up.ledger("fault"))[0]["by"] == "chance"


@pytest.mark.parametrize("wish", [[], {"meteor": 1}, "text", {"429": 2}])
async def test_an_invalid_admin_request_is_refused(tmp_path: Path, wish: Any) -> None:
    async with running(tmp_path) as up:
        assert (await up.client.post("/admin/chances", json=wish)).status_code == 400
        assert (await up.client.post("/admin/chances", content=b"{")).status_code == 400
