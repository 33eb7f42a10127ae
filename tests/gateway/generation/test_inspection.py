from __future__ import annotations

import asyncio
import os
import sys

import pytest

from gateway.errors import Problem, Unavailable
from gateway.generation import inspection, media_probe
from gateway.generation.file_types import EXTENSIONS, MIME_OF_EXTENSION, Kind
from gateway.generation.media import InlineMedia
from tests.gateway.generation.media_samples import clip, image, sound


def inline(raw: bytes, extension: str = "mp4", max_seconds: float = 8.0) -> InlineMedia:
    kind: Kind = "video" if extension in EXTENSIONS["video"] else "image"
    return InlineMedia(f"{kind}s[0]", kind, MIME_OF_EXTENSION[extension], extension, raw, max_seconds, True)


async def inspect(*media: InlineMedia) -> list[Problem]:
    return await inspection.inspect(media)


async def only_code(media: InlineMedia) -> str | None:
    problems = await inspect(media)
    assert len(problems) <= 1
    return problems[0].code if problems else None


@pytest.mark.parametrize(
    ("extension", "flags"),
    [("mp4", ""), ("mp4", "+faststart"), ("mp4", "frag_keyframe+empty_moov"), ("mov", ""), ("avi", "")],
)
async def test_a_good_clip_of_each_container_passes(extension: str, flags: str) -> None:
    assert await only_code(inline(clip(2.0, container=extension, flags=flags), extension, 2.0)) is None


@pytest.mark.parametrize("extension", ["mp4", "mov", "avi"])
async def test_a_clip_of_nine_seconds_is_refused(extension: str) -> None:
    (problem,) = await inspect(inline(clip(9.0, container=extension), extension))
    assert (problem.param, problem.code) == ("videos[0]", "clip_too_long")
    assert "9.0 s" in problem.message
    assert "8 s" in problem.message


async def test_a_clip_may_be_a_frame_too_long() -> None:
    assert await only_code(inline(clip(2.1), max_seconds=2.0)) is None
    assert await only_code(inline(clip(2.2), max_seconds=2.0)) == "clip_too_long"


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ((126, 128), "media_too_small"),
        ((512, 128), None),
        ((514, 128), "media_ratio"),
        ((128, 514), "media_ratio"),
    ],
)
async def test_a_clip_has_the_size_and_ratio_of_an_image(size: tuple[int, int], code: str | None) -> None:
    assert await only_code(inline(clip(0.2, size))) == code


async def test_every_bad_file_is_reported_and_those_without_doubt_are_passed_over() -> None:
    bad = [
        InlineMedia("images[0]", "image", "image/png", "png", image()),
        inline(b"\0\0\0\x18ftypisom" + b"\0" * 500),
        InlineMedia("videos[1]", "video", "video/mp4", "mp4", clip(6.0), 5.0, True),
    ]
    problems = await inspect(*bad)
    assert [problem.param for problem in problems] == ["videos[0]", "videos[1]"]
    assert problems[1].code == "clip_too_long"


async def test_a_file_with_only_sound_is_not_a_clip() -> None:
    assert await only_code(inline(sound())) == "clip_without_video"


async def test_another_demultiplexer_is_never_used() -> None:
    assert await only_code(inline(clip(1.0), "avi")) == "clip_unreadable"


@pytest.mark.parametrize(
    "program",
    [
        "import os; os.abort()",
        "print('not what was asked for')",
        "raise RecursionError",
    ],
)
async def test_a_clip_is_refused_if_the_demultiplexer_dies_or_prints_nonsense(
    program: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    probe = tmp_path_factory.mktemp("probe") / "probe.py"
    probe.write_text(program)
    monkeypatch.setattr(inspection, "_PROBE", probe)
    assert await only_code(inline(clip())) == "clip_unreadable"


@pytest.mark.parametrize(
    "program",
    [
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        f"raise SystemExit({media_probe.EXIT_TOO_LARGE})",
    ],
)
@pytest.mark.parametrize("extension", ["mp4", "png"])
async def test_a_file_that_takes_too_much_time_or_memory_is_called_too_large(
    program: str,
    extension: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    probe = tmp_path_factory.mktemp("probe") / "probe.py"
    probe.write_text(program)
    monkeypatch.setattr(inspection, "_PROBE", probe)
    assert await only_code(inline(clip(), extension)) == "media_too_large"


async def test_a_timeout_does_not_blame_the_clip(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    probe = tmp_path_factory.mktemp("probe") / "probe.py"
    probe.write_text("import sys, time\nsys.stdin.buffer.read()\ntime.sleep(60)")
    monkeypatch.setattr(inspection, "_PROBE", probe)
    monkeypatch.setattr(inspection, "_WALL_SECONDS", 0.3)
    with pytest.raises(Unavailable, match="too long"):
        await inspect(inline(clip()))


async def test_a_probe_that_cannot_start_does_not_blame_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Unavailable, match="could not be started"):
        await inspect(inline(clip()))


async def test_a_probe_without_pyav_does_not_blame_the_clip(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    probe = tmp_path_factory.mktemp("probe") / "probe.py"
    probe.write_text(f"raise SystemExit({media_probe.EXIT_NO_PYAV})")
    monkeypatch.setattr(inspection, "_PROBE", probe)
    with pytest.raises(Unavailable, match="PyAV"):
        await inspect(inline(clip()))


async def test_without_pyav_nothing_is_inspected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "can_inspect", lambda: False)
    assert await inspect(inline(b"anything")) == []


async def test_the_probe_gets_nothing_of_our_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("probe")
    probe = folder / "probe.py"
    probe.write_text(f"import os\nopen({str(folder / 'seen')!r}, 'w').write(str(dict(os.environ)))")
    monkeypatch.setattr(inspection, "_PROBE", probe)
    monkeypatch.setenv("GATEWAY_UPSTREAM_KEY", "sesame")
    await inspect(inline(clip()))
    assert "sesame" not in (folder / "seen").read_text()


async def test_many_clips_at_once_are_all_inspected() -> None:
    answers = await asyncio.gather(*(inspect(inline(clip(0.2))) for _ in range(4)))
    assert answers == [[], [], [], []]


async def test_a_cancelled_request_leaves_no_process_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("probe")
    started, probe = folder / "started", folder / "probe.py"
    os.mkfifo(started)
    probe.write_text(f"import os, time\nopen({str(started)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)")
    monkeypatch.setattr(inspection, "_PROBE", probe)
    asked: asyncio.Task[list[Problem]] = asyncio.create_task(inspect(inline(clip())))
    pid = int(await asyncio.to_thread(started.read_text))
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not keep this limit")
async def test_the_probe_cannot_use_more_memory_than_its_limit() -> None:
    program = (
        "from gateway.generation import media_probe as probe; probe._limit_ourselves(); bytearray(2**31)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stderr=asyncio.subprocess.PIPE
    )
    _, told = await process.communicate()
    assert b"MemoryError" in told
