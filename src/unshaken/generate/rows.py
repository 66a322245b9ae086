"""Rows of generated images, one an image with the doubts that they raise, and of the speed of their generator."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table

GENERATED = declare_table(
    "generated",
    "id string, condition string, method string, label int64, mean double, deviation double, digest string, "
    "file string, error string",
)
REPEATED = FlagKind(
    "repeated-images",
    "several generated images are the same, pixel for pixel",
    "Do not count them as independent samples; train the generator longer, or sample it with more steps.",
)
FLAT = FlagKind(
    "flat-images",
    "generated images are of one shade",
    "Do not use them as data: the generator has not learned; train it longer or at a lower rate.",
)


def generated_rows(condition: Condition, images: Tensor, labels: Tensor | None, files: Sequence[str]) -> Part:
    """The `generated` rows of images, with their flags.

    Args:
        condition: the generator.
        images: float `[N, C, H, W]` in [0, 1].
        labels: the class asked for, int64 `[N]`, or None.
        files: where each image lies in the folder.
    """
    bytes_of = (images * 255).round().to(torch.uint8).cpu()
    flat = widen(images).flatten(1)
    digests = [hashlib.sha256(image.numpy().tobytes()).hexdigest()[:16] for image in bytes_of]
    ids = [f"{i:06d}" for i in range(len(images))]
    deviation = flat.std(1, correction=0).tolist()
    columns = {
        "id": ids,
        "mean": flat.mean(1).tolist(),
        "deviation": deviation,
        "digest": digests,
        "file": list(files),
    }
    if labels is not None:
        columns["label"] = labels.tolist()
    return Part("generated", condition, columns, flags=_flags(ids, deviation, digests))


def _flags(ids: Sequence[str], deviation: Sequence[float], digests: Sequence[str]) -> tuple[Flag, ...]:
    found = []
    first = {digest: i for i, digest in reversed(list(enumerate(digests)))}
    again = [name for i, name in enumerate(ids) if first[digests[i]] != i]
    if again:
        found.append(REPEATED.flag(f"{len(again)} of {len(ids)} images repeat another one", again))
    flat = [name for name, value in zip(ids, deviation, strict=True) if value < 0.5 / 255]
    if flat:
        found.append(FLAT.flag(f"{len(flat)} of {len(ids)} images are of one shade", flat))
    return tuple(found)


SAMPLING = "sampling"

declare_table(
    "sampling",
    "condition string, method string, steps int64, images int64, seconds double, images_a_second double, "
    "device string, error string",
)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Images that were drawn, and the time that the generator took.

    Args:
        images: drawn, those that were refused included.
        seconds: inside the generator, checks and files left out.
        steps: levels of noise on the way; None for a generator without.
        device: where it ran.
    """

    images: int
    seconds: float
    steps: int | None
    device: str

    @property
    def images_a_second(self) -> float | None:
        """Images over seconds; None where nothing took time."""
        return self.images / self.seconds if self.seconds > 0 else None

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values, by name."""
        return {
            "steps": self.steps,
            "images": self.images,
            "seconds": self.seconds,
            "images_a_second": self.images_a_second,
            "device": self.device,
        }

    def to_rows(self, condition: Condition) -> Part:
        """The row of the table `sampling`."""
        return Part(SAMPLING, condition, {name: [value] for name, value in self.to_json().items()})

    @override
    def __str__(self) -> str:
        """The rate in words.

        >>> str(Throughput(100, 8.0, 18, "cpu"))
        '12.5 images a second at 18 steps (100 in 8.0 s on cpu)'
        """
        rate = "no time" if self.images_a_second is None else f"{self.images_a_second:.3g} images a second"
        steps = "" if self.steps is None else f" at {self.steps} steps"
        return f"{rate}{steps} ({self.images} in {self.seconds:.1f} s on {self.device})"
