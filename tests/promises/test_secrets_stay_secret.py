"""Whatever happens, no secret reaches a log, an answer, a page, a metric or Redis."""

from __future__ import annotations

import base64
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from gateway.callbacks import tokens
from gateway.delivery.secrets import tenant_secret
from gateway.tenants import Scope
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, free_port, machine
from tests.promises.conftest import SHORT, eventually, job_of

pytestmark = pytest.mark.processes
UPSTREAM = "canary-of-the-upstream-key"
HEADER = "canary-of-a-custom-header"
USERINFO = "canary-of-a-password-in-a-url"


@pytest.fixture
def service(tmp_path: Path, nursery: Nursery) -> Iterator[Machine]:
    """One of them logs for machines, the other for people."""
    with machine(tmp_path, nursery) as made:
        made.environment |= SHORT | {"GATEWAY_UPSTREAM_KEY": UPSTREAM, "GATEWAY_LOG_LEVEL": "debug"}
        made.start_sandbox(key=UPSTREAM)
        made.start_gateway(GATEWAY_LOG_FORMAT="json")
        made.start_workers(GATEWAY_LOG_FORMAT="console")
        yield made


def forms(secret: str) -> set[str]:
    """As it is, and as it would be seen in a URL, in base64, in JSON."""
    raw = secret.encode()
    return {secret, quote(secret, safe=""), base64.b64encode(raw).decode(), json.dumps(secret)[1:-1]}


class Ear:
    """Everything that the service says to anybody."""

    def __init__(self, service: Machine, ops_key: str) -> None:
        self.service, self.ops_key = service, ops_key
        self.heard: list[str] = []

    def ask(self, method: str, path: str, key: str, body: object = None, **headers: str) -> str:
        data = None if body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers}
        request = urllib.request.Request(f"{self.service.gateway}{path}", data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = f"{answer.headers}{answer.read().decode(errors='replace')}"
        except urllib.error.HTTPError as error:
            with error:
                text = f"{error.headers}{error.read().decode(errors='replace')}"
        self.heard.append(text)
        return text

    def say(self, raw: bytes) -> None:
        """Bytes that may be no HTTP at all."""
        with socket.create_connection(("127.0.0.1", self.service.ports["gateway"]), 5) as wire:
            wire.sendall(raw)
            wire.settimeout(2)
            try:
                while piece := wire.recv(65536):
                    self.heard.append(piece.decode(errors="replace"))
            except TimeoutError:
                pass

    def look_everywhere(self, job: str, endpoint: str) -> None:
        for path in ("overview", "state", "accounts", "events", "quarantine", "unknown", "audit", "workers"):
            self.ask("GET", f"/ops/api/{path}", self.ops_key)
        for path in ("tenants", "tenants/acme", "tenants/acme/keys", "lanes", "dead-letters", "audit.jsonl"):
            self.ask("GET", f"/ops/api/{path}", self.ops_key)
        for path in (f"jobs/{job}", f"jobs/{job}/timeline", "jobs.jsonl", "deliveries?tenant=acme"):
            self.ask("GET", f"/ops/api/{path}", self.ops_key)
        for path in ("", "/queue", "/jobs?tenant=acme", f"/jobs/{job}", "/tenants/acme", "/deliveries"):
            self.ask("GET", f"/ops{path}", self.ops_key)
        for path in (f"/endpoints/{endpoint}", "/upstream", "/log", "/log?of=audit", "/login"):
            self.ask("GET", f"/ops{path}", self.ops_key)
        for path in ("/metrics", "/livez", "/readyz", "/openapi.json", "/nothing"):
            self.ask("GET", path, "")


def test_no_secret_is_shown_to_anybody(service: Machine) -> None:
    ops_key = service.make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])
    ear = Ear(service, ops_key)
    nobody = f"http://127.0.0.1:{free_port()}/hook"
    _, made, _ = call(
        "POST",
        f"{service.gateway}/v1/endpoints",
        service.key,
        {"url": nobody, "headers": {"X-Internal": HEADER}},
    )
    order = {**ORDER, "callback_url": nobody}
    jobs = []
    for prompt in (
        "a fox",
        "[[fault:400]]",
        "[[fault:500]]",
        "[[fault:402*1]]",
        "[[fault:drop_after_accept]]",
    ):
        _, job, _ = call("POST", f"{service.gateway}/v1/jobs", service.key, {**order, "prompt": prompt})
        jobs.append(str(job["id"]))
    eventually(lambda: job_of(service, jobs[0])["status"] == "completed")
    token = tokens.make(service.keyring, "acme", jobs[0], 1)
    secrets = {
        "the client's key": service.key.rpartition("_")[2],
        "the operator's key": ops_key.rpartition("_")[2],
        "the upstream's key": UPSTREAM,
        "the keyring": service.secret_keys.partition(":")[2],
        "the endpoint's secret": made["secret"].removeprefix("whsec_"),
        "the tenant's secret": tenant_secret(service.keyring, service.keyring.active_kid, "acme")[6:],
        "a callback's token": token.rpartition(".")[2],
        "a password in a URL": USERINFO,
    }

    # What people do by mistake: secrets in the wrong places.
    key, canary = service.key, {"api_key": UPSTREAM, "prompt": service.key}
    ear.ask("POST", "/v1/jobs", key, {**order, **canary})
    ear.ask("POST", "/v1/jobs", key, {**order, "images": [f"https://u:{USERINFO}@cdn.example.com/a.png"]})
    ear.ask("POST", "/v1/endpoints", key, {"url": f"http://u:{USERINFO}@127.0.0.1/x"})
    ear.ask("POST", "/v1/endpoints", key, {"url": nobody, "secret": made["secret"]})
    ear.ask("GET", f"/v1/jobs?key={service.key}", key)
    ear.ask("GET", f"/v1/jobs/{service.key}", key)
    ear.ask("GET", "/v1/jobs", f"{service.key}x")
    ear.ask("GET", "/v1/jobs", "", Authorization=f"Basic {base64.b64encode(service.key.encode()).decode()}")
    ear.ask("POST", f"/ops/api/jobs/{jobs[0]}/resolve", ops_key, {"action": ops_key})
    ear.ask("POST", f"/callbacks/{token}", "", {"id": "x", "status": "completed"})
    ear.ask("POST", f"/callbacks/{token}", "", ["what is no callback"])
    ear.ask("POST", f"/callbacks/{token[:-2]}xx", "", {"id": "x"})
    ear.say(f"GET /v1/jobs HTTP/1.1\r\nAuthorization: Bearer {service.key}\r\nbroken\r\n\r\n".encode())
    ear.say(f"GET /{service.key} HTTP/9\r\n\r\n".encode())
    ear.look_everywhere(jobs[0], str(made["id"]))
    service.stop("workers")
    service.stop("gateway")

    told = "\n".join(ear.heard) + "".join(service.log(name) for name in ("gateway", "workers"))
    assert len(told) > 100_000
    leaks = [
        f"{name} as {form[:12]}...: ...{told[max(0, told.index(form) - 300) : told.index(form) + 40]}"
        for name, secret in secrets.items()
        for form in forms(secret)
        if form in told
    ]
    assert leaks == []
    assert HEADER not in "".join(service.log(name) for name in ("gateway", "workers"))
    kept = everything_in(service.url)
    assert [name for name, secret in secrets.items() if secret in kept] == []


def everything_in(url: str) -> str:
    """Every value in Redis, as text."""
    found: list[str] = []
    with redis.Redis.from_url(url, decode_responses=True, encoding_errors="replace") as client:
        for name in client.scan_iter(count=1000):
            kind = client.type(name)
            found.append(name)
            match kind:
                case "string":
                    found.append(str(client.get(name)))
                case "hash":
                    found.append(str(client.hgetall(name)))
                case "list":
                    found.append(str(client.lrange(name, 0, -1)))
                case "set":
                    found.append(str(client.smembers(name)))
                case "zset":
                    found.append(str(client.zrange(name, 0, -1)))
                case "stream":
                    found.append(str(client.xrange(name)))
                case "none":  # it expired since it was listed
                    pass
                case _:
                    raise AssertionError(kind)
    return "\n".join(found)
