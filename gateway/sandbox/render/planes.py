"""A picture as the three planes of YUV 4:2:0 (BT.709), and the operations that a film needs."""

from __future__ import annotations

from dataclasses import dataclass

import av
from av.video.reformatter import Colorspace
from PIL import Image

_BILINEAR = Image.Resampling.BILINEAR
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Picture:
    """Luma at full size, chroma at half; all three are Pillow images of mode L."""

    luma: Image.Image
    blue: Image.Image
    red: Image.Image

    @classmethod
    def from_rgb(cls, image: Image.Image) -> Picture:
        even = image.crop((0, 0, image.width & ~1, image.height & ~1))
        return cls.from_frame(av.VideoFrame.from_image(even))  # type: ignore[no-untyped-call]

    @classmethod
    def from_frame(cls, frame: av.VideoFrame) -> Picture:
        converted = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        planes = [
            Image.frombytes("L", (plane.width, plane.height), bytes(plane), "raw", "L", plane.line_size, 1)
            for plane in converted.planes
        ]
        return cls(*planes)

    @property
    def size(self) -> tuple[int, int]:
        return self.luma.size

    def view(self, box: Box, size: tuple[int, int]) -> Picture:
        """The part inside `box`, scaled to `size`. The box is in pixels; fractions make a slow pan smooth."""
        half_box = (box[0] / 2, box[1] / 2, box[2] / 2, box[3] / 2)
        half = size[0] // 2, size[1] // 2
        return Picture(
            self.luma.resize(size, _BILINEAR, box),
            self.blue.resize(half, _BILINEAR, half_box),
            self.red.resize(half, _BILINEAR, half_box),
        )

    def blend(self, other: Picture, share: float) -> Picture:
        """A mix: `share` (0 to 1) of the other picture, and the rest of this one."""
        return Picture(
            Image.blend(self.luma, other.luma, share),
            Image.blend(self.blue, other.blue, share),
            Image.blend(self.red, other.red, share),
        )

    def copy(self) -> Picture:
        return Picture(self.luma.copy(), self.blue.copy(), self.red.copy())

    def to_frame(self) -> av.VideoFrame:
        frame = av.VideoFrame(self.luma.width, self.luma.height, "yuv420p")
        for plane, image in zip(frame.planes, (self.luma, self.blue, self.red), strict=True):
            plane.update(image.tobytes("raw", "L", plane.line_size, 1))
        return frame

    def to_rgb(self) -> Image.Image:
        """An RGB image, for stills such as the cover."""
        frame = self.to_frame().reformat(format="rgb24", src_colorspace=Colorspace.ITU709)
        return image_of(frame)


def image_of(frame: av.VideoFrame) -> Image.Image:
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return image


@dataclass(frozen=True, slots=True)
class Overlay:
    """A translucent picture and its position. Left and top are even, so that chroma stays aligned."""

    picture: Picture
    mask: Image.Image
    half_mask: Image.Image
    left: int
    top: int

    @classmethod
    def from_rgba(cls, image: Image.Image, left: int, top: int) -> Overlay:
        even = image.crop((0, 0, image.width & ~1, image.height & ~1))
        mask = even.getchannel("A")
        half_mask = mask.resize((even.width // 2, even.height // 2), Image.Resampling.BOX)
        return cls(Picture.from_rgb(even.convert("RGB")), mask, half_mask, left & ~1, top & ~1)

    def draw_on(self, target: Picture, opacity: float = 1.0) -> None:
        """Draws on `target`, which is changed. `opacity`, 0 to 1, multiplies the mask, for fades."""
        if opacity <= 0:
            return
        mask, half_mask = self.mask, self.half_mask
        if opacity < 1:
            table = [round(level * opacity) for level in range(256)]
            mask, half_mask = mask.point(table), half_mask.point(table)
        half_corner = self.left // 2, self.top // 2
        target.luma.paste(self.picture.luma, (self.left, self.top), mask)
        target.blue.paste(self.picture.blue, half_corner, half_mask)
        target.red.paste(self.picture.red, half_corner, half_mask)
