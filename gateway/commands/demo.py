"""`vidu-gateway demo`: runs one job through the whole service on this machine, from images to a webhook."""

from __future__ import annotations

import base64
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from gateway.commands import api, printing, stack
from gateway.commands.progress import Progress
from gateway.commands.receiver import Receiver, Webhook, receiving
from gateway.commands.up import sample_names
from gateway.environment import Environment
from gateway.errors import ConfigurationError, GatewayError, Unavailable
from gateway.local.supervisor import TICK_SECONDS, Supervisor

IMAGES: Final = 3
_JOB_SECONDS: Final = 300.0
_WEBHOOK_SECONDS: Final = 30.0
_COPY_SECONDS: Final = 30.0
#: How long the sandbox serves the video: until we have copied it.
_RESULT_SECONDS: Final = 5.0
_STEP_OF_PHASE: Final = {
    "queued": "queued",
    "submitting": "submitting",
    "submitted": "rendering",
    "unknown": "rendering",
    "completed": "completed",
}
# The sandbox renders in seconds what takes the real upstream minutes: poll often to see progress.
_SETTINGS: Final = {
    "GATEWAY_POLL_FIRST_SECONDS": "0.3",
    "GATEWAY_POLL_MIN_SECONDS": "0.3",
    "GATEWAY_POLL_MAX_SECONDS": "0.5",
    "GATEWAY_DELIVERY_NETWORKS": stack.LOOPBACK_NETWORKS,
}


@dataclass(frozen=True, slots=True)
class Order:
    """The parameters of the job, as in the API."""

    prompt: str
    duration: int
    resolution: str
    aspect_ratio: str


@dataclass(frozen=True, slots=True)
class Result:
    """`link`: opens the video without a key. `outlived`: whether it did so when the upstream had dropped its
    own; None if results are not copied. `timings`: seconds of up, queued, submitting, rendering, delivering,
    saving and the total."""

    job: dict[str, Any]
    file: str
    width: int
    height: int
    seconds: float
    webhook_verified: bool
    link: str
    outlived: bool | None
    timings: dict[str, float]


def demo(order: Order, output: Path, *, as_json: bool) -> None:
    """Run the demo and save the video. Raises GatewayError, which says where the logs are, on any failure."""
    if not output.parent.is_dir():
        raise ConfigurationError(f"there is no folder {output.parent} to save the video in (--output)")
    data_dir = Path(tempfile.mkdtemp(prefix="vidu-gateway-demo-"))
    console = printing.console(stderr=as_json)
    try:
        result = _Demo(order, output, data_dir, console).run()
    except GatewayError as error:
        raise GatewayError(f"{error}\nThe logs are in {data_dir / 'logs'}") from error
    shutil.rmtree(data_dir)
    printing.show(_lines(result), stderr=as_json)
    if as_json:
        printing.show_json({name: getattr(result, name) for name in Result.__slots__})


class _Demo:
    """One run. The processes are supervised while it waits."""

    def __init__(self, order: Order, output: Path, data_dir: Path, console: Console) -> None:
        self._order = order
        self._output = output
        self._environment = Environment()
        self._began = self._environment.monotonic()
        self._progress = Progress(console, self._elapsed)
        self._supervisor = Supervisor(self._progress.note, self._progress.tick)
        port, sandbox_port = _free_ports(2)
        self._plan = stack.Plan(
            data_dir, port, sandbox_port, settings=_SETTINGS, result_seconds=_RESULT_SECONDS
        )

    def run(self) -> Result:
        with self._progress.showing():
            self._progress.reach("starting")
            with (
                stack.running(self._plan, self._supervisor) as key,
                receiving(self._environment.clock) as receiver,
            ):
                if key is None:
                    raise GatewayError("interrupted before the service was ready")
                return self._through(key, receiver)

    def _through(self, key: stack.DemoKey, receiver: Receiver) -> Result:
        up = self._elapsed()
        job = self._completed(
            api.ask("POST", f"{self._plan.url}/v1/jobs", key.key, self._body(receiver)), key
        )
        webhook = self._webhook(receiver)
        if not webhook.is_signed_with(key.signing_secret):
            raise GatewayError("the webhook was received, but its signature is wrong")
        self._progress.reach("delivered")
        saving = self._elapsed()
        job = self._copied(job, key)
        api.save(job["output"][0]["content"][0]["stable_url"], self._output, key.key)
        width, height, seconds = measure(self._output)
        timings = {"up": up, **_phases(job, webhook), "saving": self._elapsed() - saving}
        link = api.ask("POST", f"{self._plan.url}/v1/jobs/{job['id']}/links", key.key, {})["url"]
        outlived = self._outlives(job, link)
        timings["total"] = self._elapsed()
        rounded = {name: round(value, 3) for name, value in timings.items()}
        return Result(job, str(self._output), width, height, seconds, True, link, outlived, rounded)

    def _body(self, receiver: Receiver) -> dict[str, Any]:
        folder = resources.files("gateway.sandbox") / "samples"
        pictures = [(folder / name).read_bytes() for name in sample_names()[:IMAGES]]
        return {
            "model": stack.MODEL,
            "prompt": self._order.prompt,
            "images": [f"data:image/jpeg;base64,{base64.b64encode(one).decode()}" for one in pictures],
            "duration": self._order.duration,
            "resolution": self._order.resolution,
            "aspect_ratio": self._order.aspect_ratio,
            "callback_url": receiver.url,
        }

    def _completed(self, job: dict[str, Any], key: stack.DemoKey) -> dict[str, Any]:
        deadline = self._elapsed() + _JOB_SECONDS
        while job["status"] in ("queued", "in_progress"):
            self._progress.reach(_STEP_OF_PHASE[job["phase"]])
            self._progress.render(job["progress"] or 0.0)
            self._wait(deadline, f"the job was still {job['phase']}")
            job = api.ask("GET", f"{self._plan.url}/v1/jobs/{job['id']}", key.key)
        if job["status"] != "completed":
            error = job["error"] or {}
            said = f"{error.get('code')}: {error.get('error_message')}"
            raise GatewayError(f"the job ended as {job['status']} ({said})")
        self._progress.render(1.0)
        self._progress.reach("completed")
        return job

    def _copied(self, job: dict[str, Any], key: stack.DemoKey) -> dict[str, Any]:
        """The job when our copy of its video is stored. Without copies, as it is."""
        deadline = self._elapsed() + _COPY_SECONDS
        while job["assets"] and job["assets"]["video"]["state"] == "pending":
            self._wait(deadline, "the video was not copied")
            job = api.ask("GET", f"{self._plan.url}/v1/jobs/{job['id']}", key.key)
        return job

    def _outlives(self, job: dict[str, Any], link: str) -> bool | None:
        """Whether the link still serves the video when the upstream does not; None without copies."""
        if not job["assets"]:
            return None
        deadline = self._elapsed() + _COPY_SECONDS
        while api.status(job["output"][0]["content"][0]["url"]) == 200:
            self._wait(deadline, "the upstream still served its video")
        by_link = self._plan.data_dir / "by-link.mp4"
        api.save(link, by_link)
        if by_link.read_bytes() != self._output.read_bytes():
            raise GatewayError("the link served another video")
        return True

    def _webhook(self, receiver: Receiver) -> Webhook:
        deadline = self._elapsed() + _WEBHOOK_SECONDS
        while not receiver.received:
            self._wait(deadline, "no webhook was received")
        return receiver.received[0]

    def _wait(self, deadline: float, late: str) -> None:
        if self._supervisor.interrupts:
            raise GatewayError("interrupted")
        if self._elapsed() > deadline:
            raise Unavailable(f"{late} after {self._elapsed():.0f} s")
        self._supervisor.tick()
        time.sleep(TICK_SECONDS / 2)

    def _elapsed(self) -> float:
        return self._environment.monotonic() - self._began


def measure(path: Path) -> tuple[int, int, float]:
    """Width and height in pixels and duration in seconds, read from the file."""
    import av

    with av.open(str(path)) as container:
        picture = container.streams.video[0]
        return picture.width, picture.height, round((container.duration or 0) / av.time_base, 3)


def _phases(job: dict[str, Any], webhook: Webhook) -> dict[str, float]:
    """Seconds of each phase by the gateway's clock. "delivering" ends when the subscriber gets the
    webhook."""
    names = ("created_at", "started_at", "submitted_at", "finished_at")
    times = [datetime.fromisoformat(job[name]).timestamp() for name in names]
    phases = ("queued", "submitting", "rendering", "delivering")
    return {
        phase: end - begin for phase, begin, end in zip(phases, times, [*times[1:], webhook.at], strict=True)
    }


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind((stack.LOOPBACK, 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _cost(cost: dict[str, Any]) -> str:
    if cost["charged"] is None:
        return "unknown"
    estimate = f", estimated {cost['estimate']}" if cost["estimate"] else ""
    return f"{cost['charged']} {cost['currency']}{estimate}"


def _lines(result: Result) -> printing.Lines:
    shown: dict[str, object] = {
        "video": result.file,
        "size": f"{result.width} x {result.height}, {result.seconds:.1f} s",
        "cost": _cost(result.job["cost"]),
        "webhook": "received, signature verified",
        "link": result.link,
    }
    if result.outlived:
        shown["outlived"] = "the link served the same video after the upstream had dropped its own"
    return printing.fields(shown | {name: f"{seconds:.3f} s" for name, seconds in result.timings.items()})
