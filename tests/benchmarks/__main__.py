"""`make bench`: measure, print a table against the targets, write .bench/latest.json."""

from __future__ import annotations

import argparse
import json
import operator
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import callbacks, fanout, intake, million, pipeline, recovery_seconds, up, waiters

PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "intake": intake.measure,
    "pipeline": pipeline.measure,
    "callbacks": callbacks.measure,
    "up": up.measure,
    "fanout": fanout.latency,
    "drain": fanout.drain,
    "recovery": fanout.recovery,
    "recovery_seconds": recovery_seconds.measure,
    "waiters": waiters.measure,
    "depth": million.depth,
    "fairness": million.fairness,
}
#: What each figure should be: (least or most, value).
TARGETS = {
    "intake_ratio": (">=", 0.6),
    "intake_p99_ms": ("<", 15.0),
    "pipeline_jobs_per_second": (">=", 100.0),
    "callback_to_webhook_p50_ms": ("<", 20.0),
    "pickup_p50_ms": ("<", 5.0),
    "upstream_calls_a_job": ("<", 2.1),
    "callback_ack_p99_ms": ("<", 50.0),
    "idle_cpu_percent": ("<", 1.0),
    "gateway_rss_mb": ("<", 120.0),
    "up_ready_seconds": ("<", 3.0),
    "publish_to_attempt_p50_ms": ("<", 5.0),
    "publish_to_attempt_p99_ms": ("<", 25.0),
    "healthy_p99_beside_hung_ratio": ("<=", 1.2),
    "connections_per_100_deliveries": ("<", 5.0),
    "drain_ratio": (">=", 0.3),
    "recovery_live_p99_ratio": ("<=", 1.2),
    "waiters_told_p99_ms": ("<", 100.0),
    "accept_p99_at_1m_ratio": ("<=", 1.5),
    "dispatch_p99_at_1m_ratio": ("<=", 1.5),
    "bytes_per_queued_job": ("<=", 1024.0),
    "overview_ms_at_1m": ("<", 100.0),
    "scrape_ms_at_1m": ("<", 50.0),
    "fairness_position_of_last": ("<=", 40.0),
}
_MET = {">=": operator.ge, "<=": operator.le, "<": operator.lt}
RESULT = Path(".bench/latest.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which to run (default: all)")
    figures: dict[str, float] = {}
    console = Console()
    RESULT.parent.mkdir(exist_ok=True)
    for name in parser.parse_args().parts or PARTS:
        with console.status(f"measuring {name}"):
            figures |= {key: round(value, 3) for key, value in PARTS[name]().items()}
        RESULT.write_text(json.dumps(figures, indent=2) + "\n")  # a part that gives up takes no other along
    table = Table("figure", "measured", "target", "")
    for key, value in figures.items():
        sign, limit = TARGETS.get(key, ("", 0.0))
        met = "" if not sign else "ok" if _MET[sign](value, limit) else "MISSED"
        table.add_row(key, f"{value:,.2f}", f"{sign} {limit:g}" if sign else "", met)
    console.print(table)
    console.print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
