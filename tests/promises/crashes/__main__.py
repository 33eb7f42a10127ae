"""All pairs of faults, on as many servers as there are processors; or one run again, printed whole.

    python -m tests.promises.crashes [--pairs N] [--seed S] [--jobs J]
    python -m tests.promises.crashes replay SCENARIO FAULT,FAULT [--seed S]

`--pairs`: of each scenario at most so many, chosen by the seed; as many as there are when it is 0.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.local.valkey import valkey
from tests.promises.crashes.campaign import PAIRED, SCENARIOS, pairs, points, sample, singles
from tests.promises.crashes.faults import Fault
from tests.promises.crashes.invariants import explain, outcomes, violations
from tests.promises.crashes.store import Server
from tests.promises.crashes.world import Report, run

Plan = tuple[str, tuple[Fault, ...], int]
_SHOWN = 20
_server: Server


@contextlib.contextmanager
def servers(count: int) -> Iterator[list[str]]:
    with contextlib.ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(count)]
        options = ("--appendonly", "no", "--appendfsync", "no")
        yield [stack.enter_context(valkey(folder, *options)).url for folder in folders]


def begin(urls: Any) -> None:
    """One process of the pool takes one server for itself."""
    global _server  # noqa: PLW0603  # what a pool's process keeps between two runs
    _server = Server(urls.get())


def tried(plan: Plan) -> tuple[Report, list[str]]:
    name, faults, seed = plan
    report = run(_server, SCENARIOS[name], faults, seed)
    return report, violations(report)


class Tally:
    """What the runs came to; the first violations are shown as they are found."""

    def __init__(self) -> None:
        self.runs, self.broken = 0, 0
        self.reached, self.outcomes = set[str](), Counter[str]()

    def note(self, report: Report, found: list[str]) -> None:
        self.runs += 1
        self.reached |= set(report.trace)
        self.outcomes.update(outcomes(report))
        if found:
            self.broken += 1
            if self.broken <= _SHOWN:
                print(explain(report, found), end="\n\n", flush=True)


def campaign(most: int, seed: int, workers: int) -> int:
    urls: Any = multiprocessing.Queue()
    tally, alone, paired, possible, spots = Tally(), 0, 0, 0, 0
    with servers(workers) as ready:
        for url in ready:
            urls.put(url)
        with multiprocessing.Pool(workers, begin, (urls,)) as pool:
            for name in SCENARIOS:
                calm, found = pool.apply(tried, ((name, (), seed),))
                tally.note(calm, found)
                spots += len(points(calm))
                after = []
                for report, found in pool.imap(tried, [(name, (f,), seed) for f in singles(calm)], 8):
                    tally.note(report, found)
                    after.append(report)
                alone += len(after)
                if name not in PAIRED:
                    continue
                whole = pairs(after)
                chosen = sample(whole, most, seed) if most else whole
                possible, paired = possible + len(whole), paired + len(chosen)
                print(f"{name}: {len(after)} singles, {len(chosen)} of {len(whole)} pairs", flush=True)
                for report, found in pool.imap_unordered(tried, [(name, f, seed) for f in chosen], 16):
                    tally.note(report, found)
    print(f"outcomes: {dict(tally.outcomes)}")
    print(f"effects reached: {len(tally.reached)}: {', '.join(sorted(tally.reached))}")
    print(
        f"crashes: points={spots} singles={alone} pairs={paired} of={possible} violations={tally.broken}",
        flush=True,
    )
    return 1 if tally.broken else 0


def replay(name: str, text: str, seed: int) -> int:
    faults = tuple(Fault.parse(part) for part in text.split(",")) if text != "none" else ()
    with servers(1) as [url]:
        report = run(Server(url), SCENARIOS[name], faults, seed)
    found = violations(report)
    print(explain(report, found or ["nothing is broken"]))
    print("\n".join(report.trace))
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.promises.crashes", description=__doc__)
    parser.add_argument("verb", nargs="?", choices=["all", "replay"], default="all")
    parser.add_argument("scenario", nargs="?", choices=list(SCENARIOS))
    parser.add_argument("faults", nargs="?", default="none")
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    if given.verb == "replay":
        return replay(given.scenario, given.faults, given.seed)
    return campaign(given.pairs, given.seed, given.jobs)


if __name__ == "__main__":
    sys.exit(main())
