"""Draws docs/pipeline-cpu.svg: where the CPU of one job goes, by process and part, under the pipeline's load.

`python -m tests.benchmarks.cpu_picture [FILE]`. py-spy samples the gateway and the worker process in bursts;
the kernel says how much CPU they and the store took. Every sample belongs to the innermost frame that a rule
of `_RULES` knows.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import bench
from tests.benchmarks.pipeline import WARM_UP, Run, running
from tests.processes import machine

UPSTREAM, DELIVERY, STORE = "HTTP to the upstream", "delivery", "Redis client and arq"
RECORDS, SERVER, CHECKS, OTHER = "records and steps", "HTTP server", "checks", "other"
SCRIPTS = "Redis server: scripts and commands"
#: In the order in which they are drawn. The colours have contrast on white and on black.
COLOURS = {
    UPSTREAM: "#2f7ed8",
    DELIVERY: "#d9772b",
    STORE: "#c2414b",
    RECORDS: "#8a63c9",
    SERVER: "#2b9a66",
    CHECKS: "#a88a1a",
    OTHER: "#7d8590",
    SCRIPTS: "#1b8796",
}
_RULES = tuple(
    (re.compile(pattern), part)
    for pattern, part in (
        (r"/gateway/upstream/|/site-packages/(httpx)/", UPSTREAM),
        (r"/gateway/delivery/|/workers/deliver\.py|/site-packages/standardwebhooks/", DELIVERY),
        (r"/site-packages/(redis|hiredis|arq)/|/gateway/store/(script_runner|client)\.py", STORE),
        (r"/workers/(arq_worker|dispatcher)\.py", STORE),
        (r"/gateway/(generation/|strict_json|intake/|urls|web/auth/)|/gateway/store/admission\.py", CHECKS),
        (r"/site-packages/pydantic", CHECKS),
        (r"/gateway/(store/|jobs|events|settlement|views/|endpoints|callbacks/|resolution)", RECORDS),
        (r"/workers/", RECORDS),
        (r"/gateway/web/|/site-packages/(starlette|uvicorn|httptools)/", SERVER),
    )
)
#: Frames of a library that two parts use count for whom they work; without such a frame, for this part.
_ALONE = ((re.compile(r"/site-packages/aiohttp/"), UPSTREAM),)
SECONDS = 12.0
BURST = 480
PER_SECOND = 250
PICTURE = Path("docs/pipeline-cpu.svg")
_WIDTH, _LEFT, _RIGHT = 820, 96, 84
_BAR, _GAP, _TOP, _LINE = 40, 18, 64, 22
_LETTER = 6.6  # pixels of a letter of 12 px, at most
Costs = Mapping[str, Mapping[str, float]]


class Piece(NamedTuple):
    part: str
    x: float
    width: float
    value: float


def part_of(stack: Sequence[str]) -> str:
    """The part that a stack works for. Frames with full paths, the outermost first."""
    for rules in (_RULES, _ALONE):
        for frame in reversed(stack):
            for pattern, part in rules:
                if pattern.search(frame):
                    return part
    return OTHER


def shares(collapsed: str) -> dict[str, float]:
    """{part: its share of all samples} of py-spy's collapsed stacks."""
    found: Counter[str] = Counter()
    for line in collapsed.splitlines():
        stack, _, count = line.rpartition(" ")
        found[part_of(stack.split(";"))] += int(count)
    return {part: number / found.total() for part, number in found.items()}


def measure() -> Costs:
    """{process: {part: milliseconds of CPU for each job}}"""
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch, running(scratch) as run:
        for _ in range(3):
            run.burst(WARM_UP)
        pids = {"gateway": scratch.processes["gateway"].pid, "worker": scratch.processes["workers"].pid}
        plain = _cpu_per_job(run, {**pids, "store": scratch.valkey.pid})  # the sampler costs time itself
        files = {name: scratch.folder / f"{name}.stacks" for name in pids}
        samplers = [_sampler(pid, files[name]) for name, pid in pids.items()]
        while any(sampler.poll() is None for sampler in samplers):
            run.burst(BURST)
        if any(sampler.returncode for sampler in samplers):
            raise SystemExit("py-spy could not read a process; run as root, or allow ptrace")
        found = {name: shares(path.read_text()) for name, path in files.items()}
    costs = {name: {part: share * plain[name] for part, share in found[name].items()} for name in pids}
    return costs | {"store": {SCRIPTS: plain["store"]}}


def _cpu_per_job(run: Run, pids: Mapping[str, int]) -> dict[str, float]:
    before = {name: bench.cpu_seconds(pid) for name, pid in pids.items()}
    jobs, end = 0, time.monotonic() + SECONDS / 2
    while time.monotonic() < end:
        run.burst(BURST)
        jobs += BURST
    return {name: (bench.cpu_seconds(pid) - before[name]) / jobs * 1000 for name, pid in pids.items()}


def _sampler(pid: int, path: Path) -> subprocess.Popen[bytes]:
    program = str(Path(sys.executable).with_name("py-spy"))
    options = ["--duration", f"{SECONDS:g}", "--rate", str(PER_SECOND), "--format", "raw"]
    command = [program, "record", *options, "--full-filenames", "--pid", str(pid), "--output", str(path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def draw(costs: Costs) -> str:
    """The picture as SVG: a bar for each process, and a line for each part."""
    room = _WIDTH - _LEFT - _RIGHT
    scale = room / max(sum(parts.values()) for parts in costs.values())
    bars = [
        line
        for number, (name, parts) in enumerate(costs.items())
        for line in _bar(name, list(_pieces(parts, scale)), _TOP + number * (_BAR + _GAP))
    ]
    top = _TOP + len(costs) * (_BAR + _GAP) + 14
    legend = list(_legend(costs, top))
    height = top + _LINE * (1 + len(_drawn(costs))) + 10
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"'
            ' aria-label="CPU of one job by process and part">',
            "<style>",
            "  text { font: 12px system-ui, sans-serif; fill: #1f2328 }",
            "  .title { font-size: 16px; font-weight: 600 }",
            "  .inside { fill: #fff; font-weight: 600; text-anchor: middle }",
            "  .number { text-anchor: end; font-variant-numeric: tabular-nums }",
            "  .page { fill: #fff }",
            "  @media (prefers-color-scheme: dark) {",
            "    text { fill: #e6edf3 } .inside { fill: #fff } .page { fill: #0d1117 }",
            "  }",
            "</style>",
            f'<rect class="page" width="{_WIDTH}" height="{height}"/>',
            '<text class="title" x="16" y="28">CPU of one job, from POST to webhook</text>',
            '<text x="16" y="48">milliseconds of one core, under the load of the pipeline benchmark</text>',
            *bars,
            *legend,
            "</svg>",
            "",
        ]
    )


def _pieces(parts: Mapping[str, float], scale: float) -> Iterator[Piece]:
    x = float(_LEFT)
    for part in COLOURS:
        if value := parts.get(part, 0.0):
            yield Piece(part, x, value * scale, value)
            x += value * scale


def _bar(name: str, pieces: Sequence[Piece], y: float) -> Iterator[str]:
    middle = y + _BAR / 2 + 4
    yield f'<text x="16" y="{middle:g}">{escape(name)}</text>'
    for piece in pieces:
        yield (
            f'<rect x="{piece.x:.1f}" y="{y:g}" width="{max(piece.width - 1, 0.5):.1f}" height="{_BAR}" '
            f'fill="{COLOURS[piece.part]}"/>'
        )
        text = f"{piece.value:.2f}"
        if len(text) * _LETTER + 8 < piece.width:  # a narrow piece is in the table below
            yield f'<text class="inside" x="{piece.x + piece.width / 2:.1f}" y="{middle:g}">{text}</text>'
    end = pieces[-1].x + pieces[-1].width
    total = sum(piece.value for piece in pieces)
    yield f'<text x="{end + 8:.1f}" y="{middle:g}">{total:.2f} ms</text>'


def _drawn(costs: Costs) -> list[str]:
    return [part for part in COLOURS if any(part in parts for parts in costs.values())]


def _legend(costs: Costs, top: float) -> Iterator[str]:
    columns = {name: 420 + number * 90 for number, name in enumerate(costs)}
    for name, x in columns.items():
        yield f'<text class="number" x="{x}" y="{top}">{escape(name)}</text>'
    for number, part in enumerate(_drawn(costs), 1):
        y = top + number * _LINE
        yield f'<rect x="16" y="{y - 11}" width="14" height="14" rx="2" fill="{COLOURS[part]}"/>'
        yield f'<text x="38" y="{y}">{escape(part)}</text>'
        for name, parts in costs.items():
            if part in parts:
                yield f'<text class="number" x="{columns[name]}" y="{y}">{parts[part]:.2f}</text>'


def main(words: Iterable[str]) -> None:
    path = Path(next(iter(words), str(PICTURE)))
    costs = measure()
    path.write_text(draw(costs))
    for name, parts in costs.items():
        listed = ", ".join(f"{part} {parts[part]:.2f}" for part in COLOURS if part in parts)
        print(f"{name}: {listed}")
    print(f"drawn in {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
