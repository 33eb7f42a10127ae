"""`python -m tests.promises.faults --scale 1 --seed N [--keep DIR]`: 0 when every invariant held.

From scale 1 on, runs with a replicated store follow; `--replicated` makes these alone.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.promises.faults import checker, crossed, failovers
from tests.promises.faults.evidence import Evidence, Violation
from tests.promises.faults.failovers import EVENTS, Trial
from tests.promises.faults.replicated_store import STORES
from tests.promises.faults.run import Figures, run

WORDS = ("lost", "paid_twice", "stuck")
WORDS_OF_FAILOVERS = ("lost", "paid_twice", "untold", "rolled_back")
_JOB = re.compile(r"job_[0-9A-Z]{26}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.promises.faults", description="Faults on real processes.")
    parser.add_argument("--scale", type=float, default=1.0, help="1: about 200 faults in 5 minutes")
    parser.add_argument("--seed", type=int, default=None, help="drawn when it is not given")
    parser.add_argument("--keep", type=Path, help="folder for ledgers and logs, which then stay")
    group = parser.add_argument_group("runs with a replicated store")
    group.add_argument("--replicated", action="store_true", help="only these, `scale` times, at least once")
    group.add_argument("--store", choices=sorted(STORES), help="both when it is not given")
    group.add_argument("--event", choices=EVENTS, action="append", help="all when none is given")
    group.add_argument("--durability", choices=("replicated", "assume"), default="replicated")
    group.add_argument("--replicas-ack", type=int, default=Trial.acknowledged_by, metavar="N")
    group.add_argument("--lag", type=float, default=Trial.lag, help="of the replicas, in seconds")
    given = parser.parse_args()
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    folder = given.keep or Path(tempfile.mkdtemp(prefix="vgw-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    held = given.replicated or run_one(folder / "single", given.scale, seed)
    for number in range(round(given.scale) or int(given.replicated)):
        for store in [given.store] if given.store else STORES:
            trial = Trial(store, tuple(given.event or ()), given.durability, given.replicas_ack, given.lag)
            held &= run_replicated(folder / f"{store}-{number}", trial, seed + number)
    if held and not given.keep:
        shutil.rmtree(folder)
    return 0 if held else 1


def run_one(folder: Path, scale: float, seed: int) -> bool:
    """Whether every invariant held."""
    folder.mkdir()
    figures = run(folder, scale, seed, say)
    evidence = checker.load(folder)
    found = checker.check(evidence)
    tell(found, folder, f"make faults SCALE={scale:g} SEED={seed}")
    if excused := crossed.excused(evidence):
        say(
            f"{len(excused)} results are another job's: the upstream called back with its task, and every "
            "word to the contrary was lost (docs/reliability.md, Crossed callbacks)"
        )
    say(summary(figures, found, scale, seed))
    return not found


def run_replicated(folder: Path, trial: Trial, seed: int) -> bool:
    """The same. Where the store may lose writes, what it lost is counted, and operators must be told."""
    folder.mkdir()
    jobs = failovers.run(folder, trial, seed, say)
    evidence = checker.load(folder)
    found = checker.check(evidence)
    judged = failovers.judged(found, trial, evidence)
    events = "".join(f" --event {event}" for event in trial.events)
    told = f"--store {trial.store}{events} --durability {trial.durability} --lag {trial.lag:g}"
    told += f" --replicas-ack {trial.acknowledged_by}"
    tell(judged, folder, f'make faults SEED={seed} ARGS="--replicated {told}"')
    say(summary_of_failovers(trial, seed, jobs, evidence, found, judged))
    return not judged


def tell(found: list[Violation], folder: Path, again: str) -> None:
    for violation in found:
        say(str(violation))
    if found:
        say(f"\nledgers and logs: {folder}\nagain: {again}")


def summary(figures: Figures, found: list[Violation], scale: float, seed: int) -> str:
    return (
        f"faults: scale={scale:g} seed={seed} jobs={figures.jobs} kills={figures.kills} "
        f"partitions={figures.partitions} power_losses={figures.power_losses} "
        f"{counts(found, WORDS)} violations={len(found)}"
    )


def summary_of_failovers(
    trial: Trial, seed: int, jobs: int, evidence: Evidence, found: list[Violation], judged: list[Violation]
) -> str:
    changes = sum(fact["kind"] == "primary_changed" for fact in evidence.nemesis)
    away = failovers.away_seconds(evidence)
    return (
        f"failovers: store={trial.store} durability={trial.durability} acks={trial.acknowledged_by} "
        f"lag={trial.lag:g} seed={seed} jobs={jobs} changes={changes} away={away:.1f}s "
        f"{counts(found, WORDS_OF_FAILOVERS)} violations={len(judged)}"
    )


def counts(found: list[Violation], words: tuple[str, ...]) -> str:
    """How many jobs each word is about."""
    texts = {word: [one.text for one in found if one.word == word] for word in words}
    jobs = {word: {name for text in texts[word] for name in _JOB.findall(text) or [text]} for word in words}
    return " ".join(f"{word}={len(jobs[word])}" for word in words)


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
