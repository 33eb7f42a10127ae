"""Tickets, queue names and arq's records in the form that Python and Lua share."""

from __future__ import annotations

import pytest

from gateway.dispatch import ACCOUNT, PREFIX, Role, Ticket, deserialize, queue_name
from gateway.jobs import confirm_ticket, submit_ticket
from tests.gateway.store.conftest import new_job


@pytest.mark.parametrize(
    "ticket", [Ticket(Role.SUBMIT, "acme", "job_1", 7), Ticket(Role.DELIVER, "url-0a", "dlv_1")]
)
def test_a_ticket_that_was_written_is_read_as_it_was(ticket: Ticket) -> None:
    assert Ticket.parse(ticket.role, str(ticket), ticket.dispatch_number) == ticket


def test_a_job_waits_in_its_tenant_s_lane_and_its_task_in_the_account_s() -> None:
    job = new_job("zeta")
    assert str(submit_ticket(job)) == f"zeta|{job.id}"
    assert str(confirm_ticket(job)) == f"{ACCOUNT}|{job.id}"


@pytest.mark.parametrize("role", list(Role))
def test_each_role_has_a_queue_of_its_own_in_the_service_s_hash_slot(role: Role) -> None:
    assert queue_name(role) == f"{PREFIX}{role}:arq"
    assert len({queue_name(role) for role in Role}) == len(Role)


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"null"])
def test_a_record_that_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(AssertionError):
        deserialize(raw)


def test_a_pickle_is_never_loaded() -> None:
    with pytest.raises(ValueError):
        deserialize(b"\x80\x04N.")
