"""What the page of money shows, and that an operator can decide there what a job in suspense cost."""

from __future__ import annotations

import re
from html import unescape

import httpx
import orjson
import pytest

from gateway.store import keys
from gateway.web.pages import spend
from gateway.web.pages.rendering import money
from gateway.web.state import State
from tests.gateway.store.accounting import add_balance, day_of, set_budgets


def text_of(page: str, section: str) -> str:
    """The words of a section, without its tags."""
    found = re.search(rf'<section[^>]* id="{section}".*?</section>', page, re.S)
    assert found, section
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[0])).split())


@pytest.fixture
async def spent(state: State) -> None:
    redis = state.resources.redis
    await add_balance(
        redis, "acme", day_of(), charged=2_000_000, wasted=375_000, jobs=6, completed=4, failed=1
    )
    await add_balance(redis, "acme", day_of(), reserved=375_000, unsaid=500_000, dearer=12_500)
    await add_balance(redis, "other", day_of(3), suspense=1_500_000, cheaper=1_000, jobs=2, failed=2)
    await set_budgets(redis, "acme", {"budget_day": "2000000|hard", "budget_total": "50000000|soft"})


@pytest.mark.usefixtures("spent")
async def test_money_is_shown_by_outcome_tenant_and_day_and_what_was_paid_for_nothing_by_itself(
    browser: httpx.AsyncClient,
) -> None:
    page = (await browser.get("/ops/spend")).text
    assert text_of(page, "tiles") == (
        "Charged 2.00 USD, 8 jobs Paid for nothing 0.375 for jobs that did not complete "
        "Reserved 0.375 1 unfinished jobs In suspense 1.50 nobody knows yet whether it was paid"
    )
    assert text_of(page, "outcomes") == (
        "By outcome completed 4 jobs 1.625 failed canceled 3 jobs 0.375 paid for nothing "
        "unfinished 1 jobs 0.375 reserved unknown 1.50 in suspense"
    )
    rows = "acme 6 4 1 0 2.00 0.375 0.375 0.00 other 2 0 2 0 0.00 0.00 0.00 1.50"
    assert text_of(page, "tenants").endswith(f"In suspense {rows}")
    assert f"{day_of()} 6 4 1 0 2.00" in text_of(page, "days")
    assert text_of(page, "drift") == (
        "Drift charged as the upstream said 1.50 charged as estimated; it said nothing 0.50 "
        "dearer than estimated +0.0125 cheaper than estimated −0.001 "
        "balances that differ from the ledger not compared yet"
    )


@pytest.mark.usefixtures("spent")
async def test_the_fullest_budgets_come_first_and_one_that_is_exceeded_says_so(
    browser: httpx.AsyncClient,
) -> None:
    page = (await browser.get("/ops/spend")).text
    assert re.search(
        r"acme day 119 % 2.00 0.375 0.00 0.00 2.00 .* acme total soft 5 % ", text_of(page, "budgets")
    )
    of_tenant = (await browser.get("/ops/tenants/acme")).text
    assert "day 119 % 2.00" in text_of(of_tenant, "budgets")
    assert "No budgets" in text_of((await browser.get("/ops/tenants/other")).text, "budgets")


@pytest.mark.usefixtures("spent")
async def test_the_page_of_one_tenant_and_of_other_days_has_nothing_else(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/ops/spend?tenant=other")).text
    assert "Charged 0.00 USD, 2 jobs" in text_of(page, "tiles")
    assert 'id="tenants"' not in page
    assert "No budgets of this tenant" in page
    page = (await browser.get(f"/ops/spend?from={day_of(9)}&to={day_of(2)}&tenant=")).text
    assert "USD, 2 jobs" in text_of(page, "tiles")
    wrong = await browser.get("/ops/spend?from=soon")
    assert (wrong.status_code, "from" in wrong.text) == (400, True)


@pytest.mark.usefixtures("spent")
async def test_long_lists_are_cut_and_say_so(
    browser: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MOST_TENANTS", "MOST_BUDGETS"):
        monkeypatch.setattr(spend, name, 1)
    page = (await browser.get("/ops/spend")).text
    assert "The 1 of 2 tenants that were charged most." in page
    assert "The 1 of 2 budgets that are used furthest." in page


@pytest.mark.usefixtures("spent")
async def test_the_chart_has_every_day_and_none_without_charges(browser: httpx.AsyncClient) -> None:
    async def chart(query: str) -> dict[str, list[float]]:
        page = (await browser.get(f"/ops/spend?{query}")).text
        found = re.search(r'data-history="([^"]*)"', page)
        assert found
        return orjson.loads(unescape(found[1]))  # type: ignore[no-any-return]

    columns = await chart(f"from={day_of(4)}&to={day_of()}")
    assert columns["charged"] == [0, 0, 0, 0, 2.0]
    assert columns["wasted"] == [0, 0, 0, 0, 0.375]
    assert columns["at"][1] - columns["at"][0] == 86_400
    assert (await chart("tenant=other"))["at"] == []


async def in_suspense(state: State, client: httpx.AsyncClient) -> str:
    """A job that ended with money in suspense, as its record and balances say."""
    redis = state.resources.redis
    body = {"model": "viduq2_pro_reference", "images": ["https://c.example.com/a.png"], "prompt": "a fox"}
    job: str = (await client.post("/v1/jobs", json=body)).json()["id"]
    await client.post(f"/v1/jobs/{job}/cancel")
    await redis.hset(keys.job(job), mapping={"suspense": 275_000, "estimate": 275_000})  # type: ignore[misc]
    await redis.zadd(keys.SUSPENSE, {job: 1_700_000_000_000})
    await add_balance(redis, "acme", day_of(), key=None, suspense=275_000)
    return job


async def test_an_operator_decides_on_the_page_what_a_job_in_suspense_cost(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, state: State, token: str
) -> None:
    job = await in_suspense(state, client)
    page = (await browser.get("/ops/spend")).text
    assert "acme Nov 14, 22:13:20 0.275" in text_of(page, "suspense")
    assert 'value="0.2750"' in page
    assert 'value="0.2750"' in (await browser.get(f"/ops/jobs/{job}")).text
    form = {"token": token, "amount": "0.3", "reason": "the bill of November", "back": "spend"}
    done = await browser.post(f"/ops/jobs/{job}/charge", data=form)
    assert (done.status_code, done.headers["location"]) == (303, "/ops/spend?said=charged")
    page = (await browser.get(done.headers["location"])).text
    assert "Charge decided." in page
    assert "No job's money is in suspense." in page
    assert "Charged 0.30 USD" in text_of(page, "tiles")
    assert "/charge" not in (await browser.get(f"/ops/jobs/{job}")).text
    again = await browser.post(f"/ops/jobs/{job}/charge", data=form)
    assert again.status_code == 409


@pytest.mark.parametrize("amount", ["", "-1", "0.1234567", "many"])
async def test_an_amount_that_is_none_is_refused_by_name(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, state: State, token: str, amount: str
) -> None:
    job = await in_suspense(state, client)
    form = {"token": token, "amount": amount, "reason": "the bill"}
    refused = await browser.post(f"/ops/jobs/{job}/charge", data=form)
    assert refused.status_code == 422
    assert "amount" in refused.text
    assert await state.resources.redis.zcard(keys.SUSPENSE) == 1


async def test_who_may_only_read_sees_no_way_to_charge(
    onlooker: httpx.AsyncClient, client: httpx.AsyncClient, state: State
) -> None:
    await in_suspense(state, client)
    page = (await onlooker.get("/ops/spend")).text
    assert "0.275" in text_of(page, "suspense")
    assert "/charge" not in page


@pytest.mark.parametrize(
    ("micros", "shown"),
    [(0, "0.00"), (275_000, "0.275"), (12_500, "0.0125"), (1, "0.00"), (1_234_567_890_000, "1,234,567.89"),
     (-375_000, "-0.375")],
)  # fmt: skip
def test_amounts_are_short_and_readable(micros: int, shown: str) -> None:
    assert money(micros) == shown
