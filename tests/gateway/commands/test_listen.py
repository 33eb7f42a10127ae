"""Forwarding a tenant's events to a service on the developer's machine."""

from __future__ import annotations

import base64
import socket
from dataclasses import replace

import pytest
from standardwebhooks import Webhook

from gateway.client.network import Blocking
from gateway.commands.listen import Listener, Plan
from gateway.environment import Environment
from gateway.errors import ConfigurationError, GatewayError, Unavailable
from gateway.events import EVENT_OF, EventType, make, make_late, make_step
from gateway.lifecycle import JobState
from tests.gateway.commands.streaming import (
    JOB,
    OTHER,
    Answer,
    Gateway,
    Subscriber,
    event,
    gateway,
    message,
    subscriber,
)
from tests.gateway.store.conftest import new_job

KEY = "vgw_0123456789ab_" + "0" * 48
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


class Session:
    """A listener whose lines and waits are kept; it ends with the script of its gateway, by a refusal."""

    def __init__(self, plan: Plan) -> None:
        self.lines: list[str] = []
        self.waits: list[float] = []
        self.listener = Listener(plan, Environment(), lambda line, _: self.lines.append(line))

    def run(self) -> None:
        with pytest.raises(GatewayError, match="401"):
            self.listen()

    def listen(self) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Blocking, "sleep", staticmethod(self.waits.append))
            patched.setattr("gateway.client.requests.random.random", lambda: 0.0)
            self.listener.run()

    @property
    def shown(self) -> str:
        return "\n".join(self.lines)


def plan(served: Gateway, to: str, **changes: object) -> Plan:
    return replace(Plan(to, served.url, KEY, (), SECRET), **changes)  # type: ignore[arg-type]


def listened(*answers: Answer, statuses: tuple[int, ...] = ()) -> tuple[Session, Gateway, Subscriber]:
    with gateway(*answers) as served, subscriber(*statuses) as hearing:
        session = Session(plan(served, hearing.url))
        session.run()
    return session, served, hearing


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_an_event_is_forwarded_byte_for_byte_and_signed_as_the_standard_says() -> None:
    _, _, hearing = listened(Answer((message("1-0", "job.completed"),)))
    ((headers, body),) = hearing.got
    assert body == event("job.completed")
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("vidu-gateway/")
    assert Webhook(SECRET).verify(body, headers)["data"]["id"] == JOB


@pytest.mark.parametrize("kind", EventType)
def test_its_id_is_the_one_that_endpoints_get(kind: EventType) -> None:
    state = {made: state for state, made in EVENT_OF.items()}.get(kind, JobState.FAILED)
    job = new_job(id=JOB, state=state, finished_at=1)
    match kind:
        case EventType.QUEUED | EventType.SUBMITTED | EventType.MIRRORED | EventType.BUDGET_THRESHOLD:
            made = make_step(job, kind, None)
        case EventType.LATE_RESULT:
            made = make_late(job, None, 1)
        case _:
            made = make(job, None)
    _, _, hearing = listened(Answer((message("1-0", kind),)))
    assert hearing.got[0][0]["webhook-id"] == made.id


def test_each_event_gets_a_line_with_its_answer_and_a_failure_stops_nothing() -> None:
    sent = (message("1-0", "job.completed"), message("2-0", "job.failed", OTHER))
    session, _, hearing = listened(Answer(sent), statuses=(500, 204))
    assert len(hearing.got) == 2
    first, second = [line for line in session.lines if "job_" in line]
    assert f"job.completed    {JOB}  500 in " in first
    assert f"job.failed       {OTHER}  204 in " in second
    assert session.listener.summary == "stopped: 1 delivered, 1 failed"


def test_a_service_that_is_not_there_is_shown_and_stops_nothing() -> None:
    with gateway(Answer((message("1-0", "job.completed"), message("2-0", "job.failed")))) as served:
        session = Session(plan(served, f"http://127.0.0.1:{closed_port()}/hook"))
        session.run()
    assert session.shown.count("connection_refused in ") == 2
    assert "nothing is listening there" in session.shown


@pytest.mark.parametrize(
    ("status", "headers", "shown"),
    [
        (308, {"Location": "http://127.0.0.1:1/new"}, "redirects are not followed"),
        (410, {}, "an endpoint with this response would be disabled"),
        (200, {"webhook_delivery": "disable"}, "an endpoint with this response would be disabled"),
        (401, {}, "check that it uses the secret of this session"),
        (500, {}, "; the database is away"),
    ],
)
def test_an_answer_that_a_real_webhook_would_suffer_from_is_explained(
    status: int, headers: dict[str, str], shown: str
) -> None:
    with (
        gateway(Answer((message("1-0", "job.completed"),))) as served,
        subscriber(status, reply=b"the database\nis away", **headers) as hearing,
    ):
        session = Session(plan(served, hearing.url))
        session.run()
    assert f"{status} in " in session.shown
    assert shown in session.shown


def test_what_the_service_says_cannot_steer_the_terminal() -> None:
    with (
        gateway(Answer((message("1-0", "job.completed"),))) as served,
        subscriber(500, reply=b"\x1b[31mred\x07") as hearing,
    ):
        session = Session(plan(served, hearing.url))
        session.run()
    assert "?[31mred?" in session.shown
    assert "\x1b" not in session.shown


def test_a_gap_is_shown_and_not_forwarded() -> None:
    gap = b'event: gap\ndata: {"after": "1-0"}\n\n'
    session, _, hearing = listened(Answer((gap, message("9-0", "job.completed"))))
    assert "some events are missing" in session.shown
    assert len(hearing.got) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'{"type": "job.completed", "data": {}}',
        b'{"type": "job.completed", "data": {"id": "job_1"}}',
        b'{"type": 7, "data": {"id": "%s"}}' % JOB.encode(),
        b'{"type": "\\u001b[31m", "data": {"id": "%s"}}' % JOB.encode(),
    ],
)
def test_what_is_no_event_of_a_job_is_shown_and_passed_over(data: bytes) -> None:
    session, _, hearing = listened(Answer((b"data: " + data + b"\n\n", message("2-0", "job.failed"))))
    assert "skipped a message" in session.shown
    assert [headers["webhook-id"][-6:] for headers, _ in hearing.got] == ["failed"]


def test_a_stream_that_ends_is_opened_again_after_the_last_event() -> None:
    session, served, hearing = listened(
        Answer((b"retry: 500\n\n", message("1-0", "job.completed"))), Answer((message("2-0", "job.failed"),))
    )
    assert [headers.get("last-event-id") for _, headers in served.asked] == [None, "1-0", "2-0"]
    assert len(hearing.got) == 2
    assert session.waits == [0.5, 0.5]
    assert "connected: waiting for events" in session.shown
    assert "reconnected" in session.shown


def test_a_stream_that_breaks_is_opened_again() -> None:
    session, served, _ = listened(Answer((message("1-0", "job.completed"),), then="cut"), Answer())
    assert served.asked[1][1]["last-event-id"] == "1-0"
    assert session.waits[0] == 2


def test_the_waits_grow_while_the_gateway_is_away_and_begin_anew_after_an_event() -> None:
    away = Answer(status=503, problem={"title": "away"})
    session, _, _ = listened(Answer(), *[away] * 5, Answer((message("1-0", "job.completed"),)))
    assert session.waits == [2, 4, 8, 16, 30, 30, 2]


def test_a_connection_begins_the_waits_anew_although_nothing_came() -> None:
    session, _, _ = listened(Answer(), Answer(status=503, problem={"title": "away"}), Answer(), Answer())
    assert session.waits == [2, 4, 2, 2]


def test_a_wait_that_the_gateway_asks_for_is_kept() -> None:
    busy = Answer(status=429, problem={"title": "too many streams"}, headers={"Retry-After": "45"})
    session, _, _ = listened(Answer(), busy)
    assert session.waits == [2, 45]
    assert "too many streams; reconnecting in 45 s" in session.shown


def test_a_key_that_is_revoked_meanwhile_ends_it() -> None:
    with gateway(Answer(), Answer(status=401, problem={"detail": "no such key"})) as served:
        session = Session(plan(served, "http://127.0.0.1:9/hook"))
        with pytest.raises(GatewayError, match="no such key"):
            session.listen()


def test_a_gateway_that_is_away_at_the_start_ends_it() -> None:
    away = Plan("http://127.0.0.1:9/hook", f"http://127.0.0.1:{closed_port()}", KEY)
    with pytest.raises(Unavailable, match="cannot be reached"):
        Session(away).listen()


def test_a_secret_is_made_for_each_session_and_shown() -> None:
    with gateway(Answer((message("1-0", "job.completed"),))) as served, subscriber() as hearing:
        first, second = (Session(plan(served, hearing.url, secret=None)) for _ in range(2))
        first.run()
        second.run()
    (secret,) = (line for line in first.lines if line.startswith("whsec_"))
    assert Webhook(secret).verify(hearing.got[0][1], hearing.got[0][0])
    assert secret not in second.shown


def test_a_secret_that_is_given_is_not_shown() -> None:
    session, _, _ = listened(Answer())
    assert SECRET not in session.shown
    assert SECRET not in repr(plan(Gateway(""), "x"))


@pytest.mark.parametrize(
    ("filters", "types"),
    [
        ((), "job.completed,job.failed,job.canceled,job.late_result"),
        (("job.failed", "job.completed"), "job.completed,job.failed"),
        (("*",), ",".join(EventType)),
    ],
)
def test_the_events_are_those_that_an_endpoint_with_the_same_filter_gets(
    filters: tuple[str, ...], types: str
) -> None:
    with gateway(Answer()) as served:
        Session(plan(served, "http://127.0.0.1:9/hook", filters=filters)).run()
    assert served.asked[0][0] == f"/v1/events?types={types}"


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"forward": "127.0.0.1:3000"}, "--forward must start with http"),
        ({"filters": ("job.done",)}, "unknown: job.done; use job.queued"),
        ({"secret": "whsec_"}, "--secret must be"),
        ({"secret": "whsec_aGVsbG8="}, "--secret must be"),
        ({"secret": "whsec_!" + "A" * 43}, "--secret must be"),
        ({"secret": "A" * 44}, "--secret must be"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_before_anything_is_asked(
    changes: dict[str, object], shown: str
) -> None:
    with gateway() as served, pytest.raises(ConfigurationError, match=shown):
        Listener(plan(served, "http://127.0.0.1:9/hook", **changes), Environment())
    assert served.asked == []
