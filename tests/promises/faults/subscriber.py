"""The subscriber of a fault run: notes every webhook that arrives and answers well or badly, by seed."""

from __future__ import annotations

import hashlib
import http.server
import random
import threading
import time
from collections import Counter
from pathlib import Path

from standardwebhooks import Webhook

from tests.promises.faults.ledgers import Ledger

#: What a moody path does with an attempt, and how often. `close_after`: it took it, and its answer is lost.
MOODS = {"204": 60, "500": 12, "503": 12, "hang": 5, "close": 5, "close_after": 6}
HANG_SECONDS = 3.0


class Subscriber:
    """Paths are `/{tenant}/{name}`; a name that begins with `moody` has moods, `gone` never takes anything.

    `secrets`: by path, given before the first webhook of that path is sent.
    """

    def __init__(self, ledger: Path, seed: int) -> None:
        self.secrets: dict[str, str] = {}
        self._ledger = Ledger(ledger)
        self._seed = seed
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        subscriber = self

        class Receiver(http.server.BaseHTTPRequestHandler):
            timeout = 10

            def do_POST(self) -> None:
                subscriber.receive(self)

            def log_message(self, *_: object) -> None: ...

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Connections that break are what these runs are made of."""

        self._server = Server(("127.0.0.1", 0), Receiver)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="subscriber", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._ledger.close()

    def receive(self, request: http.server.BaseHTTPRequestHandler) -> None:
        length = int(request.headers["Content-Length"])
        body = request.rfile.read(length)
        if len(body) < length:  # the sender broke off: nothing was delivered
            return
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = self._answer(headers["webhook-id"], request.path)
        self._ledger.write(
            "webhook",
            path=request.path,
            id=headers["webhook-id"],
            event=body.decode(),
            sha256=hashlib.sha256(body).hexdigest(),
            signed=self._is_signed(request.path, headers, body),
            answer=answer,
        )
        request.close_connection = True
        if answer == "hang":
            time.sleep(HANG_SECONDS)
        if answer.isdigit():
            request.send_response(int(answer))
            request.send_header("Content-Length", "0")
            request.end_headers()

    def _answer(self, event_id: str, path: str) -> str:
        place = f"{self._seed} {path} {event_id}"
        with self._lock:
            self._seen[place] += 1
            chance = random.Random(f"{place} {self._seen[place]}")
        name = path.rsplit("/", 1)[-1]
        if name == "gone":
            return "500"
        return chance.choices(list(MOODS), list(MOODS.values()))[0] if name.startswith("moody") else "204"

    def _is_signed(self, path: str, headers: dict[str, str], body: bytes) -> bool:
        try:
            Webhook(self.secrets[path]).verify(body, headers)
        except Exception:  # whatever the library says: it is not signed
            return False
        return True
