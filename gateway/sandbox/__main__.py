"""Runs the sandbox: `python -m gateway.sandbox --port 8090 --data-dir DIR --key SECRET`.

The key may be in the variable SANDBOX_KEY instead, where other users of the machine do not see it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from gateway.sandbox.app import build_app
from gateway.sandbox.options import Options
from gateway.sandbox.server import make_server


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gateway.sandbox", description="A simulated upstream that renders video."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the ledger and the results")
    key = os.environ.get("SANDBOX_KEY")
    parser.add_argument(
        "--key", default=key, required=not key, help="the API key of the account main and of /admin"
    )
    parser.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="NAME=KEY",
        help="another account with its own key and tasks; may be repeated",
    )
    parser.add_argument("--render", choices=["full", "none"], default="full")
    parser.add_argument("--callback-style", choices=["none", "vtrix", "vidu"], default="none")
    parser.add_argument(
        "--callback-key", default="sandbox-callback-key", help="the key that signs callbacks of style vidu"
    )
    parser.add_argument("--callback-retry-seconds", type=float, default=1.0)
    parser.add_argument("--processes", type=int, default=1, help="videos rendered at the same time")
    parser.add_argument("--task-seconds", type=float, default=0.0, help="the shortest time that a task takes")
    parser.add_argument(
        "--result-seconds",
        type=float,
        help="how long the URLs of results and their files live (default: for ever)",
    )
    parser.add_argument("--public-url", help="the start of the URLs of results")
    parser.add_argument("--fsync", action="store_true", help="make every ledger line survive a power failure")
    parser.add_argument(
        "--concurrency",
        type=int,
        help="tasks of the vidu dialect that run at once; the others wait (default: no limit)",
    )
    parser.add_argument(
        "--list-payload", action="store_true", help="show the payload of tasks in the vidu list"
    )
    return parser.parse_args()


def main() -> None:
    given = vars(_arguments())
    host, port = given.pop("host"), given.pop("port")
    given["accounts"] = dict(account.split("=", 1) for account in given.pop("account"))
    make_server(build_app(Options(**given)), host, port).run()


if __name__ == "__main__":
    main()
