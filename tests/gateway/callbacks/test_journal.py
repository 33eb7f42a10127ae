"""The journal of callbacks: what it acknowledged is on disk, and comes back when Redis does."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from structlog.testing import capture_logs

from gateway.callbacks import journal as callback_journal
from gateway.callbacks.journal import Journal, replay, replay_once
from gateway.callbacks.records import to_line
from gateway.environment import Environment
from gateway.errors import Unavailable
from gateway.lifecycle import JobState
from gateway.resources import Resources
from tests.gateway.callbacks.journaling import ENVIRONMENT, Store, callback, journals, left_by_a_dead_process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Journal:
    return Journal(folder, ENVIRONMENT)


async def test_kept_callbacks_are_replayed_in_order_and_then_removed(journal: Journal, folder: Path) -> None:
    given = [callback(number) for number in range(5)]
    for one in given:
        await journal.append(one)
    store = Store()
    with capture_logs() as logged:
        await replay_once(journal, store)
    assert store.kept == given
    assert journals(folder) == []
    assert orjson.loads(orjson.dumps(logged[0]["effects"])) == {"moved": 5}
    await replay_once(journal, store)
    assert store.kept == given


async def test_an_append_returns_when_its_line_is_on_disk(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    real = os.fdatasync

    def fdatasync(file: int) -> None:
        real(file)
        synced.extend(path.read_bytes() for path in journals(folder))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    given = callback()
    await journal.append(given)
    assert synced == [to_line(given)]


async def test_callbacks_that_arrive_together_share_a_write(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    monkeypatch.setattr(os, "fdatasync", writes.append)
    given = [callback(number) for number in range(50)]
    await asyncio.gather(*(journal.append(one) for one in given))
    assert len(writes) <= 2
    store = Store()
    await replay_once(journal, store)
    assert store.kept == given


async def test_a_cancelled_append_does_not_stop_the_others(journal: Journal) -> None:
    gone = asyncio.create_task(journal.append(callback(1)))
    stays = asyncio.create_task(journal.append(callback(2)))
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    with contextlib.suppress(asyncio.CancelledError):
        await gone
    store = Store()
    await replay_once(journal, store)
    assert "task-2" in [one.task_id for one in store.kept]


async def test_while_redis_is_away_nothing_is_removed_and_files_do_not_multiply(
    journal: Journal, folder: Path
) -> None:
    store = Store(away=True)
    given = [callback(number) for number in range(6)]
    for one in given:
        await journal.append(one)
        await replay_once(journal, store)
    assert len(journals(folder)) <= 2
    store.away = False
    await replay_once(journal, store)
    assert store.kept == given
    assert journals(folder) == []


async def test_a_file_stays_until_all_of_it_was_replayed(journal: Journal, folder: Path) -> None:
    given = [callback(number) for number in range(4)]
    for one in given:
        await journal.append(one)
    store = Store(away_after=2)
    await replay_once(journal, store)
    assert (len(store.kept), len(journals(folder))) == (2, 1)
    store.away_after = None
    await replay_once(journal, store)
    assert {one.task_id for one in store.kept} == {one.task_id for one in given}
    assert journals(folder) == []


async def test_a_long_journal_is_split_into_files(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback_journal, "_FILE_BYTES", 1)
    given = [callback(number) for number in range(3)]
    for one in given:
        await journal.append(one)
    assert len(journals(folder)) == 3
    store = Store()
    await replay_once(journal, store)
    assert store.kept == given


async def test_two_gateways_share_a_folder_and_each_callback_is_replayed_once(folder: Path) -> None:
    one, other = Journal(folder, Environment()), Journal(folder, Environment())
    given = [callback(number) for number in range(20)]
    await asyncio.gather(*((one, other)[number % 2].append(each) for number, each in enumerate(given)))
    assert len(journals(folder)) == 2
    store = Store()
    await asyncio.gather(replay_once(one, store), replay_once(other, store))
    await asyncio.gather(replay_once(one, store), replay_once(other, store))
    assert sorted(each.task_id or "" for each in store.kept) == sorted(each.task_id or "" for each in given)
    assert journals(folder) == []


async def test_a_file_of_a_running_process_is_left_alone(folder: Path) -> None:
    one, other = Journal(folder, Environment()), Journal(folder, Environment())
    await one.append(callback())
    store = Store()
    await replay_once(other, store)
    assert (store.kept, len(journals(folder))) == ([], 1)
    await one.close()
    await replay_once(other, store)
    assert len(store.kept) == 1


async def test_a_journal_continues_in_a_new_file_after_a_replay(journal: Journal) -> None:
    store = Store()
    for number in range(3):
        await journal.append(callback(number))
        await replay_once(journal, store)
    assert [one.task_id for one in store.kept] == ["task-0", "task-1", "task-2"]


async def test_a_full_journal_refuses_until_it_was_replayed(folder: Path) -> None:
    left_by_a_dead_process(folder, to_line(callback(1)))
    journal = Journal(folder, ENVIRONMENT, max_bytes=len(to_line(callback(2))) * 3 // 2)
    with pytest.raises(Unavailable) as refused:
        await journal.append(callback(2))
    assert refused.value.retry_after_seconds == 5
    await replay_once(journal, Store())
    await journal.append(callback(2))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")


async def test_the_loop_replays_when_redis_is_back(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback_journal, "_PAUSE_SECONDS", 0.001)
    store = Store(away=True)
    await journal.append(callback())
    running = asyncio.create_task(replay(journal, store))
    await until(lambda: store.asked >= 3)
    store.away = False
    await until(lambda: bool(store.kept))
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_the_process_reports_its_journal_when_all_of_it_is_replayed_and_not_before(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback_journal, "_PAUSE_SECONDS", 0.001)
    store = Store(away_after=0)  # it takes reports, and no callbacks
    await journal.append(callback())
    running = asyncio.create_task(replay(journal, store))
    await until(lambda: store.asked >= 3)
    assert store.reported == []
    store.away_after = None
    await until(lambda: bool(store.reported))
    assert store.kept
    assert store.reported == [journal.process]
    await journal.append(callback())
    await until(lambda: len(store.kept) == 2)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert store.reported == [journal.process]  # not again within some seconds


async def test_a_report_that_a_failover_overtook_is_made_again_after_another_look(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback_journal, "_PAUSE_SECONDS", 0.001)
    store = Store(failovers=2)
    running = asyncio.create_task(replay(journal, store))
    await until(lambda: bool(store.reported))
    assert store.refused == 1
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_fault_of_ours_does_not_end_the_replay(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback_journal, "_PAUSE_SECONDS", 0.001)
    store = Store(faulty=1)
    with capture_logs() as logged:
        running = asyncio.create_task(replay(journal, store))
        await until(lambda: bool(store.reported))
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert [line["event"] for line in logged] == ["callback_replay_cut_short"]


async def test_the_real_store_takes_a_replay_twice(
    journal: Journal, folder: Path, resources: Resources
) -> None:
    orphan = callback()
    await journal.append(orphan)
    (path,) = journals(folder)
    content = path.read_bytes()
    await replay_once(journal, resources.jobs)
    first = await resources.jobs.read(orphan.job_id)
    left_by_a_dead_process(folder, content)
    await replay_once(journal, resources.jobs)
    second = await resources.jobs.read(orphan.job_id)
    assert first is not None
    assert second is not None
    assert (first.state, first.task_id) == (second.state, second.task_id) == (JobState.SUBMITTED, "task-0")
