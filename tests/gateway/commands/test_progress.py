"""What a person sees of the demo's progress."""

from __future__ import annotations

import io

from rich.console import Console

from gateway.commands.progress import Progress


def drawn(*, terminal: bool) -> str:
    out = io.StringIO()
    progress = Progress(Console(file=out, force_terminal=terminal, width=80), lambda: 1.25)
    with progress.showing():
        progress.reach("starting")
        progress.reach("rendering")
        for fraction in (0.0, 0.43, 0.44, 0.41, 1.0):
            progress.render(fraction)
            progress.tick()
        progress.note("workers ended with SIGKILL; starting it again in 0.2 s")
        progress.reach("delivered")
    return out.getvalue()


def test_lines_for_a_file_name_every_step_once_and_in_order() -> None:
    lines = [line.split("s  ", 1)[-1] for line in drawn(terminal=False).splitlines()]
    assert lines == [
        "starting",
        "queued",
        "submitting",
        "rendering",
        "rendering 43%",
        "rendering 100%",
        "workers ended with SIGKILL; starting it again in 0.2 s",
        "completed",
        "delivered",
    ]


def test_a_terminal_shows_a_picture_that_moves_forward_alone() -> None:
    shown = drawn(terminal=True)
    assert "43%" in shown
    assert "44%" in shown
    assert "41%" not in shown
    assert shown.count("✓") >= 6
