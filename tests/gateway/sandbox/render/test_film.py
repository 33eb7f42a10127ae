from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from gateway.sandbox.render.film import render_film
from tests.gateway.sandbox.render.films import clip_bytes, look, script, shot
from tests.gateway.sandbox.running import picture

RED, BLUE, LIME = (255, 0, 0), (0, 0, 255), (0, 255, 0)


@pytest.mark.parametrize("seconds", [1, 2])
def test_a_film_lasts_exactly_as_long_as_asked(tmp_path: Path, seconds: int) -> None:
    seen = shot(tmp_path, seconds=seconds, music=True, width=320, height=240)
    assert (seen.seconds, seen.frames) == (float(seconds), 24 * seconds)


def test_a_film_is_h264_of_the_asked_size(tmp_path: Path) -> None:
    seen = shot(tmp_path, width=960, height=540)
    assert (seen.width, seen.height, seen.codec, seen.pixels) == (960, 540, "h264", "yuv420p")


def test_there_is_sound_only_with_music(tmp_path: Path) -> None:
    assert shot(tmp_path, "a", music=True).audio == "aac"
    assert shot(tmp_path, "b", music=False).audio is None


def test_every_reference_image_is_shown_with_a_fade_to_the_next(tmp_path: Path) -> None:
    seen = shot(tmp_path, caption="")
    assert seen.colour(0.0, 0.5, 0.3) == pytest.approx(RED, abs=12)
    assert seen.colour(0.99, 0.5, 0.3) == pytest.approx(BLUE, abs=12)
    red, green, blue = seen.colour(0.5, 0.5, 0.3)
    assert 60 < red < 200
    assert 60 < blue < 200
    assert green < 40


def test_the_camera_moves(tmp_path: Path) -> None:
    chess = Image.new("RGB", (400, 300), "white")
    for x in range(0, 400, 40):
        chess.paste("black", (x, 0, x + 20, 300))
    path = tmp_path / "chess.png"
    chess.save(path)
    seen = shot(tmp_path, images=[path.read_bytes()], caption="")
    assert seen.stills[0].tobytes() != seen.stills[-1].tobytes()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    films = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        made = script(tmp_path, name, seed=seed, music=True)
        render_film(made, lambda done: None)
        films.append(Path(made.film).read_bytes())
    assert films[0] == films[1] != films[2]


def test_the_seed_is_written_into_the_film(tmp_path: Path) -> None:
    assert shot(tmp_path, seed=4711).comment == "seed=4711"


def test_every_frame_is_reported(tmp_path: Path) -> None:
    done: list[int] = []
    render_film(script(tmp_path, width=320, height=240), done.append)
    assert done == list(range(1, 25))


def test_a_reference_video_is_shown_too(tmp_path: Path) -> None:
    clip = tmp_path / "reference.mp4"
    clip.write_bytes(clip_bytes(tmp_path, seconds=1))
    seen = shot(tmp_path, images=[picture("red")], videos=(str(clip),), caption="")
    assert seen.colour(0.0, 0.5, 0.3) == pytest.approx(RED, abs=12)
    assert seen.colour(0.99, 0.5, 0.3) == pytest.approx(LIME, abs=30)


def test_a_reference_video_that_cannot_be_decoded_is_left_out(tmp_path: Path) -> None:
    clip = tmp_path / "broken.mp4"
    clip.write_bytes(b"\0\0\0\x18ftypisom" + b"\0" * 50)
    seen = shot(tmp_path, images=[picture("red")], videos=(str(clip),), caption="")
    assert seen.colour(0.99, 0.5, 0.3) == pytest.approx(RED, abs=12)


def test_a_truncated_reference_video_is_shown_up_to_its_end(tmp_path: Path) -> None:
    whole = clip_bytes(tmp_path, seconds=2)
    clip = tmp_path / "cut.mp4"
    clip.write_bytes(whole[: len(whole) * 2 // 3])
    seen = shot(tmp_path, images=[picture("red")], videos=(str(clip),), caption="")
    assert seen.colour(0.99, 0.5, 0.3) == pytest.approx(LIME, abs=30)


@pytest.mark.parametrize(("position", "corner"), [(1, (0, 0)), (2, (1, 0)), (3, (1, 1)), (4, (0, 1))])
def test_the_mark_is_in_its_corner_of_the_marked_film_only(
    tmp_path: Path, position: int, corner: tuple[int, int]
) -> None:
    made = script(
        tmp_path,
        images=[picture("white")],
        caption="",
        width=480,
        height=320,
        marked_film=str(tmp_path / "marked.mp4"),
        mark_position=position,
    )
    render_film(made, lambda done: None)
    plain, marked = look(Path(made.film)), look(tmp_path / "marked.mp4")
    darkest = {}
    for place in ((0, 0), (1, 0), (1, 1), (0, 1)):
        box = (place[0] * 240, place[1] * 160, place[0] * 240 + 240, place[1] * 160 + 160)
        darkest[place] = marked.stills[12].convert("L").crop(box).getextrema()[0]
    assert {place for place, level in darkest.items() if float(str(level)) < 200} == {corner}
    assert float(str(plain.stills[12].convert("L").getextrema()[0])) > 240


def test_a_client_picture_can_be_the_mark(tmp_path: Path) -> None:
    logo = tmp_path / "logo.png"
    logo.write_bytes(picture("lime", (300, 100)))
    made = script(
        tmp_path,
        caption="",
        marked_film=str(tmp_path / "marked.mp4"),
        mark_position=2,
        mark_image=str(logo),
    )
    render_film(made, lambda done: None)
    assert look(tmp_path / "marked.mp4").colour(0.2, 0.95, 0.06) == pytest.approx(LIME, abs=40)


def test_the_caption_fades_in_over_the_lower_third(tmp_path: Path) -> None:
    seen = shot(
        tmp_path,
        images=[picture("gray")],
        caption="Words that are easy to read",
        seconds=2,
        width=960,
        height=540,
    )

    def brightest(still: Image.Image, top: float, bottom: float) -> float:
        part = still.convert("L").crop((0, int(540 * top), 960, int(540 * bottom)))
        return float(str(part.getextrema()[1]))

    assert brightest(seen.stills[0], 0.66, 1) < 150
    assert brightest(seen.stills[24], 0.66, 1) > 230
    assert brightest(seen.stills[24], 0, 0.6) < 150


def test_the_cover_is_a_frame_from_the_middle(tmp_path: Path) -> None:
    made = script(tmp_path, images=[picture("red")], caption="")
    render_film(made, lambda done: None)
    with Image.open(made.cover) as cover:
        assert cover.size == (320, 180)
        assert cover.getpixel((130, 60)) == pytest.approx(RED, abs=12)


def test_a_film_that_cannot_be_finished_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        render_film(script(tmp_path), stop)
    assert not list(tmp_path.glob("*.mp4"))
    assert not list(tmp_path.glob("*.part"))
