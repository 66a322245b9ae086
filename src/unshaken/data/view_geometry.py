"""Where a model's view of a photo puts the photo's pixels: for images, masks and boxes alike."""

from __future__ import annotations

from dataclasses import dataclass

from unshaken.core.classifier import View


@dataclass(frozen=True, slots=True)
class Placement:
    """How a photo becomes the view: resized, then moved under the view's window.

    Args:
        width: of the resized photo, in pixels.
        height: of the resized photo.
        left: column of the resized photo at the view's left edge; negative where the view is wider.
        top: row of the resized photo at the view's upper edge; negative where the view is higher.
    """

    width: int
    height: int
    left: int
    top: int


def place_photo(width: int, height: int, view: View) -> Placement:
    """Where the pixels of a photo end up.

    The long side and the corner of the cut are rounded as torchvision's `Resize` and `CenterCrop` do.

    Args:
        width: of the photo, in pixels.
        height: of the photo.
        view: how the model looks at it.

    >>> place_photo(400, 300, View(224, 224, resize=256))
    Placement(width=341, height=256, left=58, top=16)
    >>> place_photo(400, 300, View(416, 416, fit="whole"))
    Placement(width=416, height=416, left=0, top=0)
    >>> place_photo(400, 300, View(416, 416, fit="letterbox"))
    Placement(width=416, height=312, left=0, top=-52)
    """
    if view.fit == "whole":
        return Placement(view.width, view.height, 0, 0)
    if view.fit == "letterbox":
        factor = min(view.width / width, view.height / height)
        width, height = (max(1, round(side * factor)) for side in (width, height))
        return Placement(width, height, -((view.width - width) // 2), -((view.height - height) // 2))
    short = view.resize or min(view.height, view.width)
    if min(width, height) != short:
        long = int(short * max(width, height) / min(width, height))
        width, height = (short, long) if width <= height else (long, short)
    left, top = (
        round((max(side, window) - window) / 2) - (max(side, window) - side) // 2
        for side, window in ((width, view.width), (height, view.height))
    )
    return Placement(width, height, left, top)
