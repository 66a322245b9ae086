"""`objectnet:DIR`: the images of ObjectNet whose classes ImageNet has, with ObjectNet's own mapping of classes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.data.decode import BadImage, Pixels, open_image
from unshaken.data.folder import FolderDataset, ImageFile, list_images
from unshaken.data.spec import Options, existing, reason_of

BORDER = 2
"""Pixels that are cut off each side, as by the authors: a red frame marks the test images."""
TO_LABEL, TO_IMAGENET = "folder_to_objectnet_label.json", "objectnet_to_imagenet_1k.json"


class ObjectNet(FolderDataset):
    """Images of ObjectNet without their red frame; a class is called by all ImageNet classes that it stands for.

    Args:
        root: the folder `images`.
        files: those of mapped classes.
        names: folder to ImageNet classes, divided by a semicolon and a space.
        options: of the SPEC.
    """

    def __init__(self, root: Path, files: Sequence[ImageFile], names: Mapping[str, str], options: Options) -> None:
        super().__init__(root, list(files), sorted(names), names, options)

    @override
    def fetch(self, index: int) -> Pixels:
        image = np.asarray(open_image(Path(self._files[index].path)))
        if min(image.shape[:2]) <= 2 * BORDER:
            raise BadImage(f"{image.shape[1]} x {image.shape[0]} pixels are nothing but the frame of {BORDER} pixels")
        return np.ascontiguousarray(image[BORDER:-BORDER, BORDER:-BORDER])


def open_objectnet(target: str, options: Options) -> ObjectNet:
    """Open ObjectNet as it is published: `images/<folder>/*.png` and `mappings/*.json`.

    Images of folders that no ImageNet class stands for are left out.

    Args:
        target: the folder of both.
        options: of the SPEC.

    Raises:
        DataError: a folder or a file of the mapping is absent or not understood; no image is left.
    """
    root = existing(target, options.spec, folder=True)
    images = existing(str(root / "images"), options.spec, folder=True)
    labels, answers = (_read(root / "mappings" / name, options.spec) for name in (TO_LABEL, TO_IMAGENET))
    names = {folder: answers[label] for folder, label in labels.items() if label in answers}
    files = [file for file in list_images(images, options) if file.id.partition("/")[0] in names]
    if not files:
        raise DataError(
            f"data {options.spec!r}: no folder of {str(images)!r} is one of the {len(names)} in the mapping, such as "
            f"{next(iter(sorted(names)), 'none')!r}"
        )
    filled = {file.id.partition("/")[0] for file in files}
    return ObjectNet(images, files, {folder: name for folder, name in names.items() if folder in filled}, options)


def _read(path: Path, spec: str) -> dict[str, str]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"data {spec!r}: {str(path)!r} cannot be read: {reason_of(error)}") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise DataError(f"data {spec!r}: {str(path)!r} is not an object of names, as ObjectNet publishes it")
    return found
