"""The released judgements of ImageNet: several labels of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
)

from unshaken.core.documents import parse_json, read_text, validate
from unshaken.core.errors import DataError
from unshaken.core.numbers import shorten
from unshaken.measure import Figure, share
from unshaken.measure.classification.multi_label_accuracy import MultiLabels
from unshaken.measure.statistics.columns import flags

LARGEST = 256 << 20
"""Bytes of a file of annotations."""


def _labels(name: str) -> Any:
    """A set of WordNet ids under either of its names; absent, it is empty."""
    return Field(default=[], validation_alias=AliasChoices(name, f"{name}_multi_labels", f"{name}_multi_label"))


class ImageAnnotation(BaseModel):
    """The labels of one image, by WordNet id.

    Args:
        correct: C, the classes that are in the image.
        unclear: U, those on which reviewers did not agree.
        wrong: W, those that are not.
    """

    model_config = ConfigDict(extra="ignore")

    correct: list[str] = _labels("correct")
    unclear: list[str] = _labels("unclear")
    wrong: list[str] = _labels("wrong")


class AnnotationFile(BaseModel):
    """A file of annotations, such as `human_accuracy_v3.0.0.json`.

    Args:
        initial_annots: file name to its labels.
        problematic_images: file name to the reason why the image is left out.
        imagenet_m: file names of ImageNet-M.
    """

    model_config = ConfigDict(extra="ignore")

    initial_annots: dict[str, ImageAnnotation] = Field(min_length=1)
    problematic_images: dict[str, Any] = {}
    imagenet_m: list[str] = []


@dataclass(frozen=True, slots=True)
class Annotations:
    """Annotated images in the order of their file names.

    Args:
        files: names.
        labels: the reviewers' labels.
        in_imagenet_m: whether each is one of ImageNet-M, bool `[N]`.
    """

    files: tuple[str, ...]
    labels: MultiLabels
    in_imagenet_m: ArrayLike

    def imagenet_m(self, predictions: ArrayLike) -> Figure:
        """The share of ImageNet-M's images with a valid prediction, unclear ones among them; `n` says of how many.

        The images were chosen among the mistakes of ViT-3B, which therefore has 0: never rank it by them.

        Args:
            predictions: top-1 classes, int `[N]`, in the order of `files`.

        Raises:
            ParameterError: there is not one prediction for each image, or no image is of ImageNet-M.
        """
        chosen = flags("in_imagenet_m", self.in_imagenet_m)
        return share(int(self.labels.is_hit(predictions)[chosen].sum()), int(chosen.sum()))


def read_annotations(path: Path, wnids: Sequence[str], original: Mapping[str, int]) -> Annotations:
    """Read the annotations of a file.

    Args:
        path: JSON, as released.
        wnids: WordNet id of each class, in label order (sorted, for ImageNet).
        original: file name to the label that the image had before.

    Raises:
        DataError: it is absent, damaged or of another form, names an unknown class, or an image has no original label.
    """
    try:
        value = parse_json(read_text(path, LARGEST), str(path), DataError)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    found = validate(AnnotationFile, value, str(path), DataError)
    place = {name: i for i, name in enumerate(wnids)}
    files = tuple(sorted(found.initial_annots))
    if absent := [name for name in files if name not in original]:
        raise DataError(f"{path}: {len(absent)} of {len(files)} images have no original label, such as {absent[0]!r}")

    def sets(kind: str) -> list[set[int]]:
        named = [getattr(found.initial_annots[name], kind) for name in files]
        if unknown := next((wnid for one in named for wnid in one if wnid not in place), None):
            raise DataError(f"{path}: {shorten(unknown)} is none of the {len(wnids)} classes: match by WordNet id")
        return [{place[wnid] for wnid in one} for one in named]

    problematic = np.isin(files, list(found.problematic_images))
    labels = MultiLabels(
        [original[name] for name in files], sets("correct"), sets("unclear"), sets("wrong"), problematic
    )
    return Annotations(files, labels, np.isin(files, found.imagenet_m))
