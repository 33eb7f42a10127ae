"""Plants one bug after another and runs the tests that must notice it.

    python -m tests.promises.mutants [NAME ...] [--jobs 2] [--against TEST ...]

First all those tests pass without a bug, or the run is void. 0 when each bug was caught. `--against`: other
tests than the table names, to see what they can.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from tests.promises.mutants.mutant import DoesNotApply, Mutant, planned
from tests.promises.mutants.mutants import MUTANTS
from tests.promises.mutants.trees import ROOT, Result, Tree

T = TypeVar("T")
U = TypeVar("U")

_LEAST_SECONDS: Final = 150.0
_TIMES_THE_BASELINE: Final = 2.0
_BASELINE_SECONDS: Final = 1200.0
_LAYERS: Final = {"properties": "1", "crashes": "2", "faults": "3"}


class Trees:
    """As many as jobs; each has one bug at a time in it."""

    def __init__(self, folder: Path, number: int) -> None:
        self._free: queue.Queue[Tree] = queue.Queue()
        self.number = number
        for place in range(number):
            self._free.put(Tree(folder / f"tree{place}"))

    def all_import_themselves(self) -> bool:
        trees = [self._free.get() for _ in range(self.number)]
        for tree in trees:
            self._free.put(tree)
        return all(tree.imports_itself() for tree in trees)

    def each(self, work: Callable[[Tree, T], U], items: Iterable[T]) -> list[U]:
        def one(item: T) -> U:
            tree = self._free.get()
            try:
                return work(tree, item)
            finally:
                self._free.put(tree)

        with ThreadPoolExecutor(self.number) as pool:
            return list(pool.map(one, items))


class Campaign:
    def __init__(self, trees: Trees, against: Sequence[str]) -> None:
        self._trees, self._against = trees, tuple(against)
        self._limit_seconds = _LEAST_SECONDS
        self._saying = threading.Lock()

    def baseline(self, mutants: Sequence[Mutant]) -> bool:
        """Whether all tests pass without a bug. How long they take is what bounds each bug's own."""
        tests = list(dict.fromkeys(test for mutant in mutants for test in self._tests(mutant)))
        shares = [
            share for place in range(self._trees.number) if (share := tests[place :: self._trees.number])
        ]
        results = self._trees.each(lambda tree, share: tree.test(share, _BASELINE_SECONDS), shares)
        for result in results:
            if result.status != 0:
                self._say(f"without a bug: {result.failed or result.status}\n{result.output}")
        slowest = max(result.seconds for result in results)
        self._limit_seconds = max(_LEAST_SECONDS, _TIMES_THE_BASELINE * slowest)
        self._say(f"baseline: {len(tests)} tests or modules in {slowest:.0f} s")
        return all(result.status == 0 for result in results)

    def run(self, mutants: Sequence[Mutant]) -> int:
        """How many were caught."""
        return sum(self._trees.each(self._one, mutants))

    def _one(self, tree: Tree, mutant: Mutant) -> bool:
        before = tree.plant(mutant)
        try:
            result = tree.test(self._tests(mutant), self._limit_seconds)
        finally:
            tree.write(mutant.file, before)
        verdict, caught = judged(result)
        self._say(f"{mutant.name:<44} {verdict} ({result.seconds:.0f} s)")
        if not caught:
            self._say(f"    {mutant.why}" + ("" if result.status == 0 else f"\n{result.output}"))
        return caught

    def _tests(self, mutant: Mutant) -> tuple[str, ...]:
        return self._against or mutant.caught_by

    def _say(self, text: str) -> None:
        with self._saying:
            print(text, flush=True)


def judged(result: Result) -> tuple[str, bool]:
    """In words, and whether it was caught. A run that hangs where it did not before has noticed something."""
    if result.status is None:
        return "timeout", True
    if result.status == 1 and result.failed:
        _, _, inner = result.failed.removeprefix("tests/").partition("/")
        layer = "2" if planned(result.failed) else _LAYERS.get(inner.partition("/")[0], "U")
        return f"{layer}  {result.failed.removeprefix('tests/')}", True
    return ("MISSED" if result.status == 0 else f"BROKEN: pytest ended with {result.status}"), False


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.promises.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of bugs; all when none is given")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--against", nargs="+", default=[], metavar="TEST")
    given = parser.parse_args()
    if unknown := set(given.names) - set(MUTANTS):
        parser.error(f"no such bug: {', '.join(sorted(unknown))}")
    chosen = [mutant for name, mutant in MUTANTS.items() if name in given.names or not given.names]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees = Trees(Path(folder).resolve(), max(1, given.jobs))
        campaign = Campaign(trees, given.against)
        if not trees.all_import_themselves() or not _all_apply(chosen) or not campaign.baseline(chosen):
            print("mutants: void, nothing was planted")
            return 2
        caught = campaign.run(chosen)
    print(f"mutants: planted={len(chosen)} caught={caught} missed={len(chosen) - caught}")
    return 0 if caught == len(chosen) else 1


def _all_apply(mutants: Sequence[Mutant]) -> bool:
    faults = []
    for mutant in mutants:
        try:
            mutant.applied(ROOT)
        except DoesNotApply as fault:
            faults.append(str(fault))
    print("\n".join(faults), end="\n" * bool(faults))
    return not faults


if __name__ == "__main__":
    sys.exit(main())
