"""The two tables, as facts about every row."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.lifecycle import (
    DELIVERY_TRANSITIONS,
    FINAL,
    JOB_STARTS,
    JOB_TRANSITIONS,
    STATUS,
    DeliveryEvent,
    DeliveryState,
    JobEvent,
    JobState,
    Status,
    diagrams,
    job_transitions,
    states_of,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "lifecycle.md"
RANK = {Status.QUEUED: 0, Status.IN_PROGRESS: 1, Status.COMPLETED: 2, Status.FAILED: 2, Status.CANCELED: 2}


def test_every_state_has_a_row() -> None:
    assert set(JOB_TRANSITIONS) == set(JobState)
    assert set(DELIVERY_TRANSITIONS) == set(DeliveryState)


def test_every_event_starts_changes_or_repeats_something() -> None:
    moving = {event for rows in JOB_TRANSITIONS.values() for event in rows}
    assert moving | set(JOB_STARTS) == set(JobEvent)
    assert moving.isdisjoint(JOB_STARTS)
    assert {event for rows in DELIVERY_TRANSITIONS.values() for event in rows} == set(DeliveryEvent)


def test_the_final_states_are_the_three_outcomes() -> None:
    assert {JobState.COMPLETED, JobState.FAILED, JobState.CANCELED} == FINAL


def test_every_state_is_reachable_and_can_end() -> None:
    seen: set[JobState] = set()
    todo = [JobState.QUEUED]
    while todo:
        state = todo.pop()
        if state not in seen:
            seen.add(state)
            todo += JOB_TRANSITIONS[state].values()
    assert seen == set(JobState)
    for state in set(JobState) - FINAL:
        assert set(JOB_TRANSITIONS[state].values()) != {state}


@pytest.mark.parametrize("state", sorted(JobState))
def test_the_public_status_never_goes_backwards(state: JobState) -> None:
    for target in JOB_TRANSITIONS[state].values():
        assert RANK[STATUS[target]] >= RANK[STATUS[state]]


def test_an_unknown_outcome_is_queued_again_only_by_proof_that_it_is_unpaid_or_by_choice() -> None:
    rows = JOB_TRANSITIONS[JobState.UNKNOWN]
    back = {event for event, target in rows.items() if target is JobState.QUEUED}
    assert back == {JobEvent.CLAIM_LOST, JobEvent.UPSTREAM_BUSY, JobEvent.RESUBMIT_CHOSEN}


def test_nothing_is_canceled_by_us_once_a_task_may_exist() -> None:
    unpaid = {JobState.QUEUED, JobState.SUBMITTING, JobState.CANCELED}
    assert set(job_transitions(JobEvent.CANCEL_REQUESTED)) == unpaid


def test_every_state_shows_as_one_status() -> None:
    assert sorted(state for status in Status for state in states_of(status)) == sorted(JobState)


def test_the_diagram_in_the_documents_is_drawn_from_the_tables() -> None:
    assert diagrams() in DOCUMENT.read_text()
