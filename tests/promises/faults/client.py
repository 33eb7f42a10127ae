"""The client of a fault run: posts each order until it is answered, looks, cancels some, notes all."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests.promises.faults.asking import Answer, ask
from tests.promises.faults.ledgers import Ledger
from tests.promises.faults.orders import STORMY, Mix, Order, draw

_POST_SECONDS = 4.0
_MOST_OPEN = 60
_GIVE_UP_SECONDS = 90.0
_PATIENCE_SECONDS = 9.0  # beyond the grace window: only an operator can help this job
_FINAL = ("completed", "failed", "canceled")


class Client:
    """`gateways`: their base URLs, asked in turn; `keys`: by tenant; `jobs`: {id: tenant}, as answered.
    `operate` is called for each job that waits for an operator, until it does so no more."""

    def __init__(
        self,
        ledger: Ledger,
        seed: int,
        gateways: Sequence[str],
        keys: dict[str, str],
        subscriber: str,
        operate: Callable[[str], None],
        mix: Mix = STORMY,
    ) -> None:
        self.jobs: dict[str, str] = {}
        self._ledger, self._seed, self._subscriber, self._mix = ledger, seed, subscriber, mix
        self._gateways, self._keys = list(gateways), keys
        self._final: set[str] = set()
        self._operate = operate
        self._policies: dict[str, str] = {}
        self._unknown: dict[str, float] = {}
        self._orders: list[Order] = []
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(16, "client")
        self._posts: list[Future[None]] = []
        self._threads: list[threading.Thread] = []

    def begin(self, per_second: float, gone_for: float) -> None:
        """Post at this pace until `finish`; for `gone_for` seconds some webhooks go to nobody."""
        for run in (lambda: self._pace(per_second, gone_for), self._poll):
            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            self._threads.append(thread)

    def finish(self) -> None:
        """No new orders; returns when each one that was begun has its answer."""
        self._stop.set()
        self._threads[0].join()
        for post in self._posts:
            post.result()

    def replay(self) -> None:
        """Every key again: the same job each time. And one key with another body: refused."""
        replays = [self._pool.submit(self._post, order) for order in self._orders]
        for replay in replays:
            replay.result()
        for order in self._orders[:3]:
            other = order.body.replace(b'"duration": 5', b'"duration": 6')
            self._send(order, other)

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _pace(self, per_second: float, gone_for: float) -> None:
        began = time.monotonic()
        while not self._stop.wait(max(0.0, began + len(self._orders) / per_second - time.monotonic())):
            while len(self.jobs) - len(self._final) > _MOST_OPEN and not self._stop.wait(0.1):
                pass  # more of the same would only make everything late
            gone = time.monotonic() - began < gone_for
            order = draw(self._seed, len(self._orders), self._subscriber, gone=gone, mix=self._mix)
            self._orders.append(order)
            self._ledger.write(
                "order",
                key=order.key,
                tenant=order.tenant,
                policy=order.policy,
                path=order.path,
                faults=order.faults,
                inline=order.inline,
            )
            self._posts.append(self._pool.submit(self._begin, order))

    def _begin(self, order: Order) -> None:
        job = self._post(order)
        if job and order.cancel_after is not None:
            time.sleep(order.cancel_after)
            answer = ask("POST", f"{self._gateway()}/v1/jobs/{job}/cancel", key=self._keys[order.tenant])
            self._ledger.write("cancel", job=job, status=answer.status, error=answer.error)

    def _post(self, order: Order) -> str:
        """The job's id; empty when the order was refused or nobody ever answered."""
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            answer = self._send(order, order.body)
            if answer.status in (200, 202):
                job = str(answer.document["id"])
                self._policies[job] = order.policy
                self.jobs[job] = order.tenant
                return job
            if answer.status is not None and answer.status < 500 and answer.status != 429:
                return ""
            time.sleep(0.3)
        return ""

    def _send(self, order: Order, body: bytes) -> Answer:
        answer = ask(
            "POST",
            f"{self._gateway()}/v1/jobs",
            key=self._keys[order.tenant],
            body=body,
            seconds=_POST_SECONDS,
            Idempotency_Key=order.key,
            **order.headers,
        )
        found = answer.document or {}
        self._ledger.write(
            "post",
            key=order.key,
            tenant=order.tenant,
            sha256=hashlib.sha256(body).hexdigest(),
            status=answer.status,
            error=answer.error,
            job=found.get("id") if answer.status in (200, 202) else None,
            replayed=answer.headers.get("idempotent-replayed") == "true",
        )
        return answer

    def _poll(self) -> None:
        """At one job after the other, more often at those that are not final; also at final ones."""
        chance = random.Random(f"looks {self._seed}")
        while not self._stop.wait(0.08):
            known = list(self.jobs)
            if not known:
                continue
            open_jobs = [job for job in known if job not in self._final]
            job = chance.choice(open_jobs if open_jobs and chance.random() < 0.7 else known)
            answer = ask("GET", f"{self._gateway()}/v1/jobs/{job}", key=self._keys[self.jobs[job]])
            if answer.status == 200:
                self.note(job, answer.document)
                if answer.document["status"] in _FINAL:
                    self._final.add(job)
            elif answer.status not in (None, 503):
                self._ledger.write("strange", job=job, status=answer.status, document=answer.document)

    def note(self, job: str, document: dict[str, Any]) -> None:
        if document["phase"] not in ("unknown", "submitted") or self._policies.get(job) != "manual":
            self._unknown.pop(job, None)
        elif time.monotonic() > self._unknown.setdefault(job, time.monotonic()) + _PATIENCE_SECONDS:
            self._operate(job)
        kept = ("status", "phase", "output", "error", "finished_at", "spend")
        self._ledger.write("seen", job=job, **{name: document.get(name) for name in kept})

    def _gateway(self) -> str:
        self._gateways.append(self._gateways.pop(0))
        return self._gateways[-1]
