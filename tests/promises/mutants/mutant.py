"""One planted bug."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.promises.mutants.places import spans_of

#: The store against a model, driven by hypothesis.
LAYER_1: Final = "tests/promises/properties/test_jobs.py"
_PLANS: Final = "tests/promises/mutants/test_plans.py::test_a_run_that_showed_a_bug_is_in_order_without_it"


def named(module: str, name: str = "") -> str:
    """pytest's name of a test, or of all in a module: `workers/sweep` is tests/workers/test_sweep.py."""
    folder, slash, file = module.rpartition("/")
    return f"tests/{folder}{slash}test_{file}.py" + (f"::test_{name}" if name else "")


def plan(scenario: str, faults: str) -> str:
    """The test that makes one simulated run, with crashes or "none", in which the bug shows."""
    return f"{_PLANS}[{scenario} {faults}]"


def planned(test: str) -> tuple[str, str] | None:
    """The scenario and faults of such a test."""
    name, _, words = test.rstrip("]").partition("[")
    scenario, _, faults = words.partition(" ")
    return (scenario, faults) if name == _PLANS else None


class DoesNotApply(Exception):
    """The product has moved on, and the table has not."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old`: a text that stands once in `function` of `file`; `new`: what stands there instead. `function`:
    its qualified name, as `places.spans_of` takes it. `why`: what the bug would cost. `caught_by`: pytest's
    names of the tests or modules of which one must fail, cheapest first."""

    name: str
    file: str
    function: str
    old: str
    new: str
    why: str
    caught_by: tuple[str, ...]

    def applied(self, tree: Path) -> str:
        """The file's text with the bug in it. Raises DoesNotApply."""
        text = (tree / self.file).read_text()
        spans = spans_of(text, self.file, self.function)
        found = [span for span in spans for _ in range(text.count(self.old, *span))]
        if len(found) != 1:
            where = f"{self.function or 'no function'} of {self.file}"
            raise DoesNotApply(f"{self.name}: its old text stands {len(found)} times in {where}")
        [(start, end)] = found
        return text[:start] + text[start:end].replace(self.old, self.new) + text[end:]
