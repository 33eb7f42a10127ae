"""What one call adds to counts in a hash: written at its end, as if it had been added at once."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.gateway.store.lane_scripts import caller

KEY = "{gw}:tally"
#: (how, field, by). `add`, `usage`: gone at 0, `hold`: never below 0; `get`: reads the field in between.
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "usage", "hold", "get"]), st.sampled_from("abc"), st.integers(-3, 3)),
    max_size=12,
)


def after(stored: dict[str, int], steps: list[tuple[str, str, int]]) -> dict[str, int]:
    """What the hash holds when each step is taken for itself."""
    found = dict(stored)
    for how, name, by in steps:
        field = name if how in ("add", "get") else f"{name}:{how}"
        if how == "get":
            continue
        found[field] = found.get(field, 0) + by
        if how == "hold":
            found[field] = max(0, found[field])
        if how != "add" and found[field] == 0:
            del found[field]
    return found


def lua(steps: list[tuple[str, str, int]]) -> str:
    calls = {
        "add": "counters.add('{key}', '{name}', {by})",
        "usage": "counters.add('{key}', '{name}:usage', {by}, true)",
        "hold": "counters.hold('{key}', '{name}:hold', {by})",
        "get": "counters.get('{key}', '{name}') counters.get('{key}', '{name}:hold')",
    }
    return "\n".join(calls[how].format(key=KEY, name=name, by=by) for how, name, by in steps)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["a", "b:usage", "c:hold"]), st.integers(1, 3)), STEPS)
async def test_they_are_what_they_would_be_one_by_one(
    redis: Redis, stored: dict[str, int], steps: list[tuple[str, str, int]]
) -> None:
    await redis.delete(KEY)
    if stored:
        await redis.hset(KEY, mapping=stored)  # type: ignore[misc]
    await caller(redis)(lua(steps))
    found = await redis.hgetall(KEY)  # type: ignore[misc]
    zeros = {field for field, number in found.items() if number == "0"}
    expected = after(stored, steps)
    assert {field: int(number) for field, number in found.items() if field not in zeros} == {
        field: number for field, number in expected.items() if number
    }
    assert not [field for field in zeros if ":" in field]


@pytest.mark.parametrize(("fields", "most"), [(1, 1), (4, 2)])
async def test_many_fields_of_a_hash_cost_two_commands(redis: Redis, fields: int, most: int) -> None:
    async def commands() -> int:
        found = await redis.info("commandstats")
        names = ("hincrby", "hmget", "hset", "hget")
        return sum(found.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)

    before = await commands()
    await caller(redis)("".join(f"counters.add('{KEY}', 'f{at}', {at + 1})\n" for at in range(fields)))
    assert await commands() - before == most
    counted = await redis.hgetall(KEY)  # type: ignore[misc]
    assert counted == {f"f{at}": str(at + 1) for at in range(fields)}


async def test_a_large_number_stays_a_whole_number(redis: Redis) -> None:
    await redis.hset(KEY, mapping={"a": "900719925474099", "b": "1"})  # type: ignore[misc]
    await caller(redis)(f"counters.add('{KEY}', 'a', 1)\ncounters.add('{KEY}', 'b', 1)")
    counted = await redis.hgetall(KEY)  # type: ignore[misc]
    assert counted == {"a": "900719925474100", "b": "2"}
