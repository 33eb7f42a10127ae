"""A robust subscriber: verify, keep, answer, and only then work.

WEBHOOK_SECRET=whsec_... python docs/examples/subscriber.py [PORT]     (needs the package standardwebhooks)
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

MOST_BYTES = 1_048_576
log = logging.getLogger("subscriber").info  # unlike print, it never mixes the lines of two threads
WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
INBOX = os.environ.get("INBOX", "inbox.sqlite3")
SCHEMA = "CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY, body BLOB NOT NULL, done INTEGER DEFAULT 0)"
something_new = threading.Event()


class Subscriber(BaseHTTPRequestHandler):
    timeout = 15

    # begin: receive
    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        if length > MOST_BYTES:
            return self.answer(413)
        body = self.rfile.read(length)  # the raw bytes: parsed and serialized again, they would differ
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            WEBHOOK.verify(body, headers)
        except Exception as error:  # noqa: BLE001  # the library raises many kinds for a forged webhook
            log("refused: %s", error)
            return self.answer(401)
        new = keep(headers["webhook-id"], body)
        log("%s: %s", "kept" if new else "duplicate", headers["webhook-id"])
        return self.answer(204)  # before the work: the gateway waits 15 s at most
        # end: receive

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent: what matters is logged above."""


@contextmanager
def inbox() -> Iterator[sqlite3.Connection]:
    """Committed at the end of the block."""
    with closing(sqlite3.connect(INBOX)) as opened, opened:
        yield opened


# begin: keep
def keep(webhook_id: str, body: bytes) -> bool:
    """Stores it durably, before the 2xx. False: it is a duplicate, because a webhook may come twice."""
    with inbox() as opened:
        done = opened.execute("INSERT OR IGNORE INTO inbox (id, body) VALUES (?, ?)", (webhook_id, body))
    something_new.set()
    return done.rowcount == 1


def work() -> None:
    """Works on what is kept and not done, also after a restart and after a failure."""
    while True:
        something_new.clear()
        with inbox() as opened:
            waiting = opened.execute("SELECT id, body FROM inbox WHERE done = 0 ORDER BY rowid").fetchall()
        for webhook_id, body in waiting:
            try:
                act_on(json.loads(body))
            except Exception as error:  # noqa: BLE001  # one bad event must not block the others
                log("failed, will retry: %s %s", webhook_id, error)
                continue
            with inbox() as opened:
                opened.execute("UPDATE inbox SET done = 1 WHERE id = ?", (webhook_id,))
        something_new.wait(timeout=30)


# end: keep


def act_on(event: dict[str, Any]) -> None:
    """Your work goes here. Download the video at once: its URLs may expire after an hour."""
    if not event["type"].startswith("job."):  # a test event, or a type that is not known yet
        return
    log("done: %s %s", event["type"], event["data"]["id"])


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    with inbox() as made:
        made.execute(SCHEMA)
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 3000), Subscriber)
    log("listening on http://127.0.0.1:%d/hook", server.server_port)
    threading.Thread(target=work, daemon=True).start()
    server.serve_forever()
