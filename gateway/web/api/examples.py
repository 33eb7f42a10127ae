"""Example requests. Tests check that each is accepted."""

from __future__ import annotations

from typing import Any, Final

_SMALLEST: Final = {
    "model": "viduq2_pro_reference",
    "images": ["https://cdn.example.com/hero.png"],
    "prompt": "The hero walks along the shore at dusk",
}
_BLACK_SQUARE: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAIAAAACAAQAAAADrRVxmAAAAGUlEQVR42mNgGAWjYBSMglEwC"
    "kbBKKAvAAAIgAABw1fMHQAAAABJRU5ErkJggg=="
)

JOB_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "minimal": {"summary": "Only the required parameters", "value": _SMALLEST},
    "inline image": {
        "summary": "An inline image instead of a URL",
        "value": {**_SMALLEST, "images": [_BLACK_SQUARE]},
    },
    "everything": {
        "summary": "All parameters",
        "value": {
            **_SMALLEST,
            "videos": ["https://cdn.example.com/walk.mp4"],
            "bgm": True,
            "duration": 5,
            "seed": 7,
            "aspect_ratio": "9:16",
            "resolution": "1080p",
            "payload": "order 7",
            "off_peak": False,
            "watermark": True,
            "wm_position": 3,
            "wm_url": "https://cdn.example.com/mark.png",
            "meta_data": '{"order": 7}',
            "callback_url": "https://video.example.com/webhooks",
        },
    },
}
