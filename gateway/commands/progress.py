"""Shows the progress of the demo: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

STEPS: Final = ("starting", "queued", "submitting", "rendering", "completed", "delivered")
_LINE_INTERVAL = 0.1  # fraction of the rendering between two plain lines


@dataclass(slots=True)
class Progress:
    """Reaching a step completes all earlier ones. `elapsed`: seconds since the start of the demo."""

    console: Console
    elapsed: Callable[[], float]
    _reached: dict[str, float] = field(default_factory=dict)
    _fraction: float = 0.0
    _shown: float = 0.0
    _live: Live | None = None
    _spinner: Spinner = field(init=False)

    def __post_init__(self) -> None:
        self._spinner = Spinner("line" if self.console.options.ascii_only else "dots", style="cyan")

    @contextlib.contextmanager
    def showing(self) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        # Drawn from `tick`, not by a thread: it is safer to start processes without threads.
        with Live(console=self.console, auto_refresh=False) as self._live:
            yield

    def reach(self, step: str) -> None:
        for name in STEPS[: STEPS.index(step) + 1]:
            if name not in self._reached:
                self._reached[name] = self.elapsed()
                self._print_line(name)
        self.tick()

    def render(self, fraction: float) -> None:
        """`fraction`: rendered part of the video, 0 to 1."""
        self._fraction = max(self._fraction, fraction)
        if self._fraction >= self._shown + _LINE_INTERVAL:
            self._shown = self._fraction
            self._print_line(f"rendering {self._fraction:.0%}")

    def note(self, line: str) -> None:
        """Print a message."""
        self.console.print(Text(line, "yellow"), soft_wrap=True)

    def tick(self) -> None:
        if self._live is not None:
            self._live.update(self._table(), refresh=True)

    def _print_line(self, text: str) -> None:
        if self._live is None:
            self.console.print(f"{self.elapsed():6.1f} s  {text}", highlight=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        later, done = ("-", "ok") if self.console.options.ascii_only else ("·", "✓")
        current = list(self._reached)[-1] if self._reached else ""
        for name in STEPS:
            if name not in self._reached:
                table.add_row(later, Text(name, "dim"), "")
            elif name == current and name != STEPS[-1]:
                table.add_row(self._spinner, Text(name, "bold cyan"), self._detail(name))
            else:
                table.add_row(Text(done, "green"), name, Text(f"{self._reached[name]:.1f} s", "dim"))
        return table

    def _detail(self, name: str) -> Table | str:
        if name != "rendering":
            return ""
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total=1.0, completed=self._fraction, width=30), f"{self._fraction:.0%}")
        return bar
