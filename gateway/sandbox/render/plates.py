"""Makes a plate of a reference image: the picture that the camera moves over. It is larger than the frame and
never stretched."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

ROOM = 1.25  # the size of a plate relative to the frame: room to pan and zoom without upscaling
_FAR = 1.7  # from this ratio on, cropping to the shape of the frame would lose too much of the picture
_LANCZOS = Image.Resampling.LANCZOS
_PAPER = (236, 232, 226)


def opaque(image: Image.Image) -> Image.Image:
    """The image upright (EXIF), in RGB, with transparent parts on a paper colour."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layer = upright.convert("RGBA")
        paper = Image.new("RGBA", layer.size, (*_PAPER, 255))
        return Image.alpha_composite(paper, layer).convert("RGB")
    return upright.convert("RGB")


def plate(image: Image.Image, width: int, height: int) -> Image.Image:
    """Fills the frame if the shapes are similar; else shows the whole picture as a card on a blurred copy."""
    mismatch = (image.width / image.height) / (width / height)
    if 1 / _FAR < mismatch < _FAR:
        scale = max(width * ROOM / image.width, height * ROOM / image.height)
        return image.resize((round(image.width * scale), round(image.height * scale)), _LANCZOS)
    return _card(image, round(width * ROOM), round(height * ROOM))


def _card(image: Image.Image, width: int, height: int) -> Image.Image:
    board = _blurred(image, width, height)
    scale = min(width * 0.72 / image.width, height * 0.72 / image.height)
    size = max(2, round(image.width * scale)), max(2, round(image.height * scale))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    corner = max(4, min(width, height) // 50)
    shape = Image.new("L", (width, height), 0)
    box = (left, top, left + size[0] - 1, top + size[1] - 1)
    ImageDraw.Draw(shape).rounded_rectangle(box, radius=corner, fill=255)
    fallen = ImageChops.offset(shape, 0, corner)
    shadow = fallen.filter(ImageFilter.GaussianBlur(corner * 1.5)).point(
        [level * 150 // 255 for level in range(256)]
    )
    board.paste((0, 0, 0), (0, 0, width, height), shadow)
    card = Image.new("RGB", (width, height))
    card.paste(image.resize(size, _LANCZOS), (left, top))
    board.paste(card, (0, 0), shape)
    return board


def _blurred(image: Image.Image, width: int, height: int) -> Image.Image:
    """The picture, blurred and darker, in the given size. It is blurred in a small size, which is faster."""
    small = ImageOps.fit(image, (max(2, width // 12), max(2, height // 12)), Image.Resampling.BILINEAR)
    soft = small.filter(ImageFilter.GaussianBlur(3)).point([level * 6 // 10 for level in range(256)] * 3)
    return soft.resize((width, height), Image.Resampling.BICUBIC)
