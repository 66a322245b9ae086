"""`masks:DIR`: a folder of images and one of masks, which give a class for each pixel."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import override

from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.core.masks import IGNORED, MOST_CLASSES
from unshaken.core.numbers import shorten
from unshaken.data.dataset import Dataset
from unshaken.data.decode import FORMATS, MAX_PIXELS, BadImage, Source, check_bytes, cut, form_of, open_image, pixels_of
from unshaken.data.folder import ImageFile, list_images
from unshaken.data.labels import read_classes
from unshaken.data.spec import Options, check_split, existing, reason_of

IMAGES, MASKS = "images", "masks"
"""Names of the two folders."""
MODES = ("1", "L", "P", "I;16", "I")
"""Pillow's modes of images whose pixels are numbers or indices of a palette."""
Mask = NDArray[np.uint8]


class MaskFolder(Dataset):
    """Images of a folder, each with a mask of classes.

    Args:
        root: the folder.
        files: the images.
        masks: a class for each pixel, uint8 `[N, H, W]`, 255 where none.
        classes: names in label order.
        options: of the SPEC.
        bad: for samples that cannot be used, the reason by index.
    """

    def __init__(
        self, root: Path, files: Sequence[ImageFile], masks: NDArray[np.uint8], classes: Sequence[str],
        options: Options, bad: dict[int, str],
    ) -> None:  # fmt: skip
        self._files, self._size = files, options.size
        whole = replace(options, size=None)  # images come out as large as their masks
        ids = [f.id for f in files]
        super().__init__(ids=ids, labels=masks, classes=classes, root=str(root), options=whole, bad=bad)  # type: ignore[arg-type]

    @override
    def fetch(self, index: int) -> Source:
        path = Path(self._files[index].path)
        return path if self._size is None else pixels_of(open_image(path), size=self._size, mode=self.options.mode)

    @override
    def content(self) -> Iterable[object]:
        masks = b"" if self.labels is None else self.labels.tobytes()
        return [self._size, masks, *((f.id, f.mark) for f in self._files)]


def open_masks(target: str, options: Options) -> MaskFolder:
    """Open a folder that holds `images` and `masks`; a mask is called as its image, but for the extension.

    Masks are images of one channel, such as PNG files of 8 bits or with a palette: a pixel's value is its class, 255
    stands for a pixel that is not to count. `split` names a folder inside that holds the two; `size` resizes images and
    masks alike; names of the classes come from the option `classes` or a file `classes.txt` in the folder.

    An image without a mask, or with one that cannot be used, is a bad sample.

    Raises:
        DataError: a folder is absent; masks have no image; images would share a mask; none can be used; or they are of
            several sizes.
    """
    spec = options.spec
    root = existing(target, spec, folder=True)
    check_split(options, target)
    if options.split is not None:
        root = existing(str(root / options.split), spec, folder=True)
    images, masks = (list_images(existing(str(root / name), spec, folder=True), options) for name in (IMAGES, MASKS))
    if not images:
        raise DataError(f"data {spec!r}: no images in {str(root / IMAGES)!r}")
    found, of_images = _by_stem(masks, spec, MASKS), _by_stem(images, spec, IMAGES)
    lonely = sorted(found.keys() - of_images.keys())
    if lonely:
        raise DataError(
            f"data {spec!r}: {len(lonely):,} of {len(found):,} masks have no image, such as {shorten(lonely[0])}; call "
            f"a mask in {MASKS!r} as its image in {IMAGES!r}, but for the extension"
        )
    names_file = Path(options.classes) if options.classes else root / "classes.txt"
    names = read_classes(names_file, spec) if options.classes or names_file.is_file() else ()
    bad: dict[int, str] = {}
    read: dict[int, Mask] = {}
    for i, file in enumerate(images):
        mask = found.get(_stem(file.id))
        try:
            read[i] = _read(file, mask, options, len(names) or MOST_CLASSES)
        except BadImage as error:
            bad[i] = error.reason
    return MaskFolder(root, images, _stacked(read, len(images), bad, images, spec), _names(read, names), options, bad)


def _stem(id: str) -> str:
    """An id without its extension.

    >>> _stem("a.b/x.tar.png")
    'a.b/x.tar'
    """
    folder, slash, name = id.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def _by_stem(files: Sequence[ImageFile], spec: str, folder: str) -> dict[str, ImageFile]:
    """Files by their ids without the extension."""
    found: dict[str, ImageFile] = {}
    for file in files:
        other = found.setdefault(_stem(file.id), file)
        if other is not file and folder == MASKS:
            raise DataError(f"data {spec!r}: masks {other.id!r} and {file.id!r} are of one image; leave one of them")
        if other is not file:
            raise DataError(
                f"data {spec!r}: images {other.id!r} and {file.id!r} would have one mask, {_stem(file.id)}.png; rename "
                "one of them"
            )
    return found


def _read(image: ImageFile, mask: ImageFile | None, options: Options, classes: int) -> Mask:
    """A mask `[H, W]`, as large as its image."""
    if image.bad:
        raise BadImage(image.bad)
    if mask is None:
        raise BadImage(f"there is no mask {_stem(image.id)}.png")
    try:
        found, size = _values(mask), form_of(Path(image.path))[1]
        if found.size != size:
            (w, h), (width, height) = found.size, size
            raise BadImage(f"it has {w} x {h} pixels, and its image {width} x {height}")
        if options.size is not None:
            found = cut(found, View(options.size, options.size, options.size, interpolation="nearest"))
        values = np.asarray(found)
        strange = values[(values >= classes) & (values != IGNORED)]
        if strange.size:
            raise BadImage(
                f"it has the value {int(strange[0])}: write classes from 0 to {classes - 1}, and {IGNORED} for a pixel "
                "that is not to count"
            )
    except BadImage as error:
        raise BadImage(f"its mask cannot be used: {error.reason}") from error
    return values


def _values(file: ImageFile) -> Image.Image:
    """The values of a mask's pixels as an image of mode `L`."""
    if file.bad:
        raise BadImage(file.bad)
    try:
        path = Path(file.path)
        check_bytes(path.stat().st_size)
        with Image.open(io.BytesIO(path.read_bytes()), formats=FORMATS) as image:
            if image.format == "JPEG":
                raise BadImage("JPEG does not keep values: write it as PNG")
            if image.mode not in MODES:
                raise BadImage(f"it is a picture of mode {image.mode}: write one number a pixel, its class, as PNG")
            if image.width * image.height > MAX_PIXELS:
                raise BadImage(f"{image.width} x {image.height} pixels are more than the limit of {MAX_PIXELS}")
            values = np.asarray(image)
    except BadImage:
        raise
    except Exception as error:  # as in `open_image`: Pillow's readers raise almost anything on a damaged file
        raise BadImage(f"it cannot be decoded: {reason_of(error)}") from error
    if values.size and (values.min() < 0 or values.max() > IGNORED):
        raise BadImage(f"it has values from {values.min()} to {values.max()}; they are 0 to {IGNORED}")
    return Image.fromarray(values.astype(np.uint8))


def _stacked(
    read: dict[int, Mask], n: int, bad: dict[int, str], images: Sequence[ImageFile], spec: str
) -> NDArray[np.uint8]:
    """All masks `[N, H, W]`; those that cannot be used ignore each pixel."""
    if not read:
        first = min(bad)
        raise DataError(f"data {spec!r}: none of its {n:,} images can be used; {images[first].id}: {bad[first]}")
    shapes = sorted({mask.shape for mask in read.values()})
    if len(shapes) > 1:
        sizes = " and ".join(f"{w} x {h}" for h, w in shapes[:2])
        raise DataError(f"data {spec!r}: images of several sizes, such as {sizes} pixels: bring them to one by ?size=")
    values = np.unique(np.concatenate([np.unique(mask) for mask in read.values()]))
    if values.tolist() in ([0, IGNORED], [IGNORED]):
        raise DataError(
            f"data {spec!r}: masks hold the values {values.tolist()} alone, and {IGNORED} is a pixel that is not to "
            "count: write the classes as 0, 1, 2, ..."
        )
    masks = np.full((n, *shapes[0]), IGNORED, np.uint8)
    for i, mask in read.items():
        masks[i] = mask
    return masks


def _names(read: dict[int, Mask], names: Sequence[str]) -> Sequence[str]:
    """Names of the classes; numbers where there are none."""
    if names:
        return names
    largest = max(int(mask[mask != IGNORED].max(initial=0)) for mask in read.values())
    return [str(k) for k in range(largest + 1)]
