"""The page of money in a real browser: on a phone and on a desk, with amounts that are long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.resources import open_resources
from gateway.tenants import Scope
from tests.browsing import chromium, watch
from tests.conftest import new_settings
from tests.gateway.store.accounting import add_balance, day_of, set_budgets
from tests.gateway.web.conftest import add_key
from tests.gateway.web.live import listening

pytestmark = pytest.mark.timeout(120)
#: Whether anything is drawn in the chart.
_DRAWN = """() => {
  const canvas = document.querySelector('#plot-spend canvas');
  if (!canvas) return false;
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value, at) => at % 4 === 3 && value);
}"""


def test_nothing_sticks_out_at_any_width_and_the_chart_is_drawn(
    redis_url: str, empty_redis: None, tmp_path: Path
) -> None:
    settings = new_settings(redis_url, tmp_path)

    async def prepare() -> str:
        async with open_resources(settings, retries=1) as resources:
            for at in range(3):
                name, redis = f"team-{at}", resources.redis
                await add_balance(redis, name, day_of(at), charged=34_536_750_000, wasted=1_520_625_000)
                await add_balance(redis, name, day_of(at), jobs=100_000, completed=92_098, failed=6_061)
            budgets = {"budget_month": "99000000000|soft", "budget_total:00000000000a": "1000000|hard"}
            await set_budgets(resources.redis, "team-0", budgets)
            return await add_key(resources, "platform", [Scope.OPS_READ, Scope.OPS_WRITE])

    key = asyncio.run(prepare())
    with listening(settings) as url, chromium() as browser:
        for width in (360, 1280):
            watched = watch(browser.new_context(viewport={"width": width, "height": 900}).new_page())
            page = watched.page
            page.goto(f"{url}/ops/login")
            page.fill("input[name=key]", key)
            page.press("input[name=key]", "Enter")
            page.wait_for_url(f"{url}/ops")
            for path in ("/ops/spend", "/ops/tenants/team-0"):
                page.goto(f"{url}{path}")
                page.wait_for_selector("#budgets meter")
                assert page.evaluate("document.documentElement.scrollWidth") == width, path
            page.goto(f"{url}/ops/spend")
            page.wait_for_function(_DRAWN)
            assert watched.complaints == []
