"""Makes every file of this folder: `python -m gateway.sandbox.samples.draw [FOLDER]`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from gateway.sandbox.render.film import render_film
from gateway.sandbox.render.script import Script
from gateway.sandbox.samples.dusk_hills import dusk_hills
from gateway.sandbox.samples.lantern_street import lantern_street
from gateway.sandbox.samples.paper import HEIGHT, WIDTH
from gateway.sandbox.samples.red_fox import red_fox

PICTURES: dict[str, Callable[[], Image.Image]] = {
    "dusk-hills": dusk_hills,
    "lantern-street": lantern_street,
    "red-fox": red_fox,
}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, draw in PICTURES.items():
        reduced = draw().resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.LANCZOS)
        reduced.save(folder / f"{name}.jpg", "JPEG", quality=86, optimize=True, progressive=True)
    _placeholder(folder)


def _placeholder(folder: Path) -> None:
    """What stands for every result when the sandbox renders nothing: one small second."""
    with tempfile.TemporaryDirectory() as cover_folder:
        script = Script(
            images=(str(folder / "red-fox.jpg"),),
            videos=(),
            caption="",
            seconds=1,
            width=160,
            height=90,
            seed=1,
            music=False,
            film=str(folder / "placeholder.mp4"),
            cover=str(Path(cover_folder, "cover.jpg")),
        )
        render_film(script, lambda done: None)


if __name__ == "__main__":
    main()
