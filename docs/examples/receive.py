"""A subscriber in twenty lines: verify a webhook, then trust it.

python docs/examples/receive.py PORT SIGNING_SECRET     (needs the package standardwebhooks)
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook


class Receiver(BaseHTTPRequestHandler):
    webhook: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            event = self.webhook.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except Exception as error:  # noqa: BLE001  # the library raises many kinds for a forged webhook
            print("refused:", error, flush=True)
            self.send_response(401)
        else:
            # Delivery is at least once: remember webhook-id and skip duplicates.
            shown = event["data"].get("id"), event["data"].get("output")  # a test event has neither
            print("verified:", self.headers["webhook-id"], event["type"], *shown, flush=True)
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent: what matters is printed above."""


if __name__ == "__main__":
    Receiver.webhook = Webhook(sys.argv[2])
    server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}/hook", flush=True)
    server.serve_forever()
