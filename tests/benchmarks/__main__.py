"""`make bench`: measure, print a table against the targets, write .bench/latest.json.

`python -m tests.benchmarks PART...` measures these parts anew, `python -m tests.benchmarks --table` prints
the figures of that file as a table in Markdown, for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from tests.benchmarks import (
    callbacks,
    content,
    copies,
    fanout,
    idle_workers,
    inline_files,
    intake,
    large_posts,
    million,
    money,
    pipeline,
    recovery_seconds,
    report,
    up,
    uploads,
    waiters,
)
from tests.benchmarks.figures import Found, Target, found_in

Part = Callable[[], Found]

PARTS: dict[str, Part] = {
    "intake": intake.measure,
    "posts": large_posts.measure,
    "uploads": uploads.measure,
    "content": content.measure,
    "inline": inline_files.measure,
    "pipeline": pipeline.measure,
    "latency": fanout.latency,
    "hung": fanout.hung,
    "drain": fanout.drain,
    "recovery": fanout.recovery,
    "recovery_seconds": lambda: found_in(recovery_seconds.measure()),
    "depth": million.depth,
    "copies": copies.measure,
    "money": money.measure,
    "idle": idle_workers.measure,
}
#: Only when they are named.
MORE: dict[str, Part] = {
    "callbacks": callbacks.measure,
    "waiters": waiters.measure,
    "fairness": million.fairness,
    "up": up.measure,
}
TARGETS = {
    "intake_ratio": Target(">=", 0.75),
    "intake_p99_ratio": Target("<=", 1.5),
    "livez_p99_ms_beside_large_posts": Target("<=", 50),
    "upload_mb_per_second": Target(">=", 0.5),
    "upload_rss_mb": Target("<", 150),
    "content_first_byte_ms": Target("<", 20),
    "inline_ratio": Target(">=", 0.5),
    "livez_p99_ms_beside_inline": Target("<=", 50),
    "pipeline_ratio": Target(">=", 0.5),
    "pipeline_jobs_per_second": Target(">=", 400),
    "callback_to_webhook_p99_ratio": Target("<=", 3),
    "store_scripts_per_job": Target("<=", 7),
    "store_commands_per_job": Target("<=", 200),
    "finished_job_bytes": Target("<=", 4000),
    "publish_to_attempt_p99_ms": Target("<=", 10),
    "publish_to_attempt_warm_p99_ms": Target("<=", 10),
    "publish_to_attempt_p99_ratio": Target("<=", 3),
    "healthy_p99_beside_hung_ratio": Target("<=", 1.2),
    "drain_ratio": Target(">=", 0.2),
    "drain_two_ratio": Target(">=", 1.3),
    "recovery_live_p99_ratio": Target("<=", 1.3),
    "accept_p99_at_1m_ratio": Target("<=", 1.2),
    "dispatch_p99_at_1m_ratio": Target("<=", 1.2),
    "bytes_per_queued_job": Target("<=", 800),
    "recovery_seconds_lost_answer_vidu": Target("<=", 2),
    "recovery_seconds_lost_answer_vtrix": Target("<=", 10),
    "recovery_seconds_killed_before_release": Target("<=", 5),
    "recovery_seconds_killed_after_release": Target("<=", 10),
    "recovery_seconds_store_away": Target("<=", 7),
    "callback_ack_p99_ms": Target("<", 50),
    "waiters_told_p99_ms": Target("<", 100),
    "fairness_position_of_last": Target("<=", 40),
    "up_ready_seconds": Target("<", 3),
    "mirror_ratio": Target(">=", 0.5),
    "budgets_cpu_ratio": Target("<=", 1.05),
    "idle_store_percent_at_100_workers": Target("<", 3),
}
RESULT = Path(".bench/latest.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, *MORE, []], help="which to run")
    parser.add_argument("--table", action="store_true", help="print the last figures as Markdown")
    given = parser.parse_args()
    console = Console(width=120, highlight=False)
    if given.table:
        if not RESULT.exists():
            parser.error(f"{RESULT} is missing; run `make bench` first")
        print("\n".join(report.as_markdown(report.read(RESULT))))
        return
    # Parts that are named replace their own figures; what else was measured stays.
    document = report.read(RESULT) if given.parts and RESULT.exists() else report.empty()
    gave_up = []
    for name in given.parts or PARTS:
        began = time.monotonic()
        try:
            with console.status(f"measuring {name}"):
                report.add(document, name, (PARTS | MORE)[name](), TARGETS)
        except SystemExit as reason:  # a part that gives up takes no other along
            console.print(f"{name} gave up: {reason}", markup=False)
            gave_up.append(name)
        console.print(f"{name}: {time.monotonic() - began:.0f} s")
        report.write(RESULT, document)
    for line in report.as_lines(document):
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"written to {RESULT}")
    if gave_up:
        raise SystemExit(f"without figures: {', '.join(gave_up)}")


if __name__ == "__main__":
    main()
