"""Small scripts to shoot, and a look at what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import av
from PIL import Image

from gateway.sandbox.render.film import render_film
from gateway.sandbox.render.planes import image_of
from gateway.sandbox.render.script import Script
from tests.gateway.sandbox.running import picture


@dataclass
class Seen:
    width: int
    height: int
    seconds: float
    frames: int
    codec: str
    pixels: str | None
    audio: str | None
    comment: str
    stills: list[Image.Image] = field(repr=False)

    def colour(self, at: float, x: float, y: float) -> tuple[int, ...]:
        """RGB of one pixel; time and place as shares 0..1."""
        still = self.stills[min(int(at * len(self.stills)), len(self.stills) - 1)]
        found = still.getpixel((int(x * (still.width - 1)), int(y * (still.height - 1))))
        assert isinstance(found, tuple)
        return tuple(int(level) for level in found)


def look(file: Path | IO[bytes]) -> Seen:
    with av.open(str(file) if isinstance(file, Path) else file, "r") as film:
        video = film.streams.video[0]
        audio = film.streams.audio[0].codec_context.name if film.streams.audio else None
        stills = [image_of(frame) for frame in film.decode(video)]
        seconds = (film.duration or 0) / av.time_base
        return Seen(
            video.width,
            video.height,
            seconds,
            len(stills),
            video.codec_context.name,
            video.pix_fmt,
            audio,
            film.metadata.get("comment", ""),
            stills,
        )


def script(folder: Path, name: str = "film", *, images: Sequence[bytes] = (), **changes: Any) -> Script:
    """One second from two plain colours, small and so quickly made, unless changed."""
    paths = []
    for place, data in enumerate(images or (picture("red"), picture("blue"))):
        path = folder / f"{name}-{place}.png"
        path.write_bytes(data)
        paths.append(str(path))
    basis: dict[str, Any] = {
        "videos": (),
        "caption": "a fox",
        "seconds": 1,
        "width": 320,
        "height": 180,
        "seed": 3,
        "music": False,
    }
    film, cover = str(folder / f"{name}.mp4"), str(folder / f"{name}.jpg")
    return Script(images=tuple(paths), film=film, cover=cover, **(basis | changes))


def shot(folder: Path, name: str = "film", **changes: Any) -> Seen:
    made = script(folder, name, **changes)
    render_film(made, lambda done: None)
    return look(Path(made.film))


def clip_bytes(folder: Path, *, seconds: int, colour: str = "lime") -> bytes:
    """A small reference video of one colour."""
    made = script(
        folder, "clip", images=[picture(colour)], seconds=seconds, width=160, height=160, caption=""
    )
    render_film(made, lambda done: None)
    return Path(made.film).read_bytes()
