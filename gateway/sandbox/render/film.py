"""Renders and encodes a script: H.264 yuv420p at 24 frames per second, and AAC if there is music."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc
from PIL import Image

from gateway.sandbox.media import ACCEPTED_IMAGES
from gateway.sandbox.render.caption import Caption
from gateway.sandbox.render.mark import watermark
from gateway.sandbox.render.music import RATE, music
from gateway.sandbox.render.planes import Picture
from gateway.sandbox.render.plates import opaque
from gateway.sandbox.render.reel import Reel
from gateway.sandbox.render.scenes import Camera, Clip, Scene, Still
from gateway.sandbox.render.script import FPS, Script

_THREADS = "2"  # fixed, because the output of x264 depends on it and the same seed must give the same bytes
_X264 = {"preset": "superfast", "crf": "21", "threads": _THREADS, "g": str(2 * FPS)}


def render_film(script: Script, on_frame: Callable[[int], None]) -> None:
    """Writes every file that the script names. Calls `on_frame(n)` after n frames were encoded.

    A film gets its final name only when it is complete. OSError or ValueError (which include PyAV's errors)
    if a reference cannot be read.
    """
    frame = script.width, script.height
    reel = Reel(_scenes(script, frame), script.seconds)
    caption = Caption(script.caption, script.width, script.height, script.seconds)
    mark = watermark(frame, script.mark_position, _mark_image(script)) if script.mark_position else None
    sound = list(music(script.seconds, script.seed)) if script.music else []

    def drawn(number: int) -> Picture:
        picture = reel.at(number / FPS)
        caption.draw_on(picture, number / FPS)
        return picture

    with ExitStack() as stack:
        plain = stack.enter_context(_Encoder(script.film, script, sound))
        marked = None
        if script.marked_film:
            marked = stack.enter_context(_Encoder(script.marked_film, script, sound))
        for number, picture in enumerate(_ahead(drawn, script.frames)):
            plain.add(picture, number)
            if number == script.frames // 2:
                picture.to_rgb().save(script.cover, "JPEG", quality=85)
            if marked is not None and mark is not None:
                mark.draw_on(picture)
                marked.add(picture, number)
            on_frame(number + 1)


def _ahead(drawn: Callable[[int], Picture], count: int) -> Iterator[Picture]:
    """The pictures in order. The next one is drawn while the caller encodes the last one; both release the
    GIL."""
    with ThreadPoolExecutor(max_workers=1) as artist:
        coming = artist.submit(drawn, 0)
        for number in range(1, count + 1):
            picture = coming.result()
            if number < count:
                coming = artist.submit(drawn, number)
            yield picture


def _scenes(script: Script, frame: tuple[int, int]) -> list[Scene]:
    dice = random.Random(script.seed)
    scenes: list[Scene] = []
    for path in script.images:
        with Image.open(path, formats=ACCEPTED_IMAGES) as image:
            scenes.append(Still(opaque(image), frame, Camera.moved_by(dice)))
    for path in script.videos:
        camera = Camera.moved_by(dice)
        try:
            scenes.append(Clip(path, frame, camera))
        except (av.FFmpegError, IndexError, ValueError):
            continue  # a clip that cannot be decoded is left out; there is always at least one image
    return scenes


def _mark_image(script: Script) -> Image.Image | None:
    if script.mark_image is None:
        return None
    with Image.open(script.mark_image, formats=ACCEPTED_IMAGES) as image:
        return image.convert("RGBA")


class _Encoder:
    """Writes one mp4 file under a temporary name. The sound, if any, is added completely at the start; the
    muxer interleaves it with the pictures."""

    def __init__(self, path: str, script: Script, sound: Sequence[av.AudioFrame]) -> None:
        self._path = Path(path)
        self._part = self._path.with_suffix(".part")
        self._out = av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
        self._out.metadata["comment"] = f"seed={script.seed}"
        self._video = self._out.add_stream("libx264", rate=FPS, options=_X264)
        self._video.width, self._video.height, self._video.pix_fmt = script.width, script.height, "yuv420p"
        self._video.codec_context.colorspace = Colorspace.ITU709
        self._video.codec_context.color_primaries = ColorPrimaries.BT709
        self._video.codec_context.color_trc = ColorTrc.BT709
        if sound:
            self._add_sound(sound)

    def __enter__(self) -> _Encoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._out.mux(self._video.encode())
        self._out.close()
        if kind is None:
            self._part.rename(self._path)
        else:
            self._part.unlink(missing_ok=True)

    def add(self, picture: Picture, number: int) -> None:
        frame = picture.to_frame()
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        self._out.mux(self._video.encode(frame))

    def _add_sound(self, sound: Sequence[av.AudioFrame]) -> None:
        stream = self._out.add_stream("aac", rate=RATE, layout="mono")
        for frame in sound:
            self._out.mux(stream.encode(frame))
        self._out.mux(stream.encode())
