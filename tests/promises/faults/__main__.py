"""`python -m tests.promises.faults --scale 1 --seed N [--keep DIR]`: 0 when every invariant held."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.promises.faults import checker, crossed
from tests.promises.faults.run import Figures, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.promises.faults", description="Faults on real processes.")
    parser.add_argument("--scale", type=float, default=1.0, help="1: about 200 faults in 5 minutes")
    parser.add_argument("--seed", type=int, default=None, help="drawn when it is not given")
    parser.add_argument("--keep", type=Path, help="folder for ledgers and logs, which then stay")
    given = parser.parse_args()
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    folder = given.keep or Path(tempfile.mkdtemp(prefix="vgw-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    figures = run(folder, given.scale, seed, say)
    evidence = checker.load(folder)
    found = checker.check(evidence)
    for violation in found:
        print(violation)
    if found:
        print(f"\nledgers and logs: {folder}\nagain: make faults SCALE={given.scale:g} SEED={seed}")
    elif not given.keep:
        shutil.rmtree(folder)
    if excused := crossed.excused(evidence):
        print(
            f"{len(excused)} results are another job's: the upstream called back with its task, and every "
            "word to the contrary was lost (docs/reliability.md, Crossed callbacks)"
        )
    print(summary(figures, found, given.scale, seed))
    return 1 if found else 0


def summary(figures: Figures, found: list[checker.Violation], scale: float, seed: int) -> str:
    counts = {
        word: sum(violation.word == word for violation in found) for word in ("lost", "paid_twice", "stuck")
    }
    return (
        f"faults: scale={scale:g} seed={seed} jobs={figures.jobs} kills={figures.kills} "
        f"partitions={figures.partitions} power_losses={figures.power_losses} lost={counts['lost']} "
        f"paid_twice={counts['paid_twice']} stuck={counts['stuck']} violations={len(found)}"
    )


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
