"""Files in bodies: posts of 10 MB over four connections, against a handler that only parses their JSON; and
whether `/livez` answers soon meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from tests.benchmarks import bench
from tests.benchmarks.figures import Figure, Found, over_floor, p99_ms
from tests.benchmarks.large_posts import POSTS, large_body, while_posting
from tests.benchmarks.load import request
from tests.processes import Machine, free_port, machine

BODY_BYTES = 10_000_000
ROUNDS = 5
_SECONDS = 1.5


def measure() -> Found:
    """`inline_ratio`: the gateway's rate over the floor's. `livez_p99_ms_beside_inline`: of a GET every 5 ms
    meanwhile, from when it was due."""
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        body = large_body(BODY_BYTES)
        keys = [
            scratch.make_key(f"t{number}") for number in range(POSTS)
        ]  # of one tenant, one is checked at a time
        posts = [request("/v1/jobs", body, key) for key in keys]
        floor = free_port()
        scratch.start_gateway(GATEWAY_TENANT_MEDIA_BYTES_MAX="100000000000")
        scratch.start(
            "floor",
            "tests.benchmarks.floor",
            probe=f"http://127.0.0.1:{floor}/healthz",
            more={"GATEWAY_PORT": str(floor)},
        )
        return _measure(scratch, floor, posts)


def _measure(scratch: Machine, floor: int, posts: list[bytes]) -> Found:
    parsed = [post.replace(b"/v1/jobs", b"/parsed", 1) for post in posts]
    ours, floors, waits = [], [], []
    for number in range(ROUNDS + 1):
        bare = bench.load(floor, POSTS, _SECONDS, parsed)
        if bare["bad"]:
            raise SystemExit("the floor did not answer with 202")
        asked, run = asyncio.run(while_posting(scratch.ports["gateway"], posts, _SECONDS))
        _drop_files(scratch)
        if number:  # the first round warms up
            floors.append(bare["per_second"] * BODY_BYTES / 1e6)
            ours.append(run["per_second"] * BODY_BYTES / 1e6)
            waits.append(p99_ms(asked))
    return Found(
        {"inline_ratio": over_floor(ours, floors), "livez_p99_ms_beside_inline": Figure(waits)},
        {
            "inline_mb_per_second": ours,
            "inline_floor_mb_per_second": floors,
            "gateway_rss_mb_after_inline": [bench.resident_mb(scratch.processes["gateway"].pid)],
        },
    )


def _drop_files(scratch: Machine) -> None:
    """They fill the disk, and no worker needs them here."""
    for folder in (scratch.folder / "blobs").glob("job_*"):
        shutil.rmtree(folder)
