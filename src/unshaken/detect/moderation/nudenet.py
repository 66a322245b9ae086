"""NudeNet: a detector of body parts, as a score of nudity."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.core.imports import need
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass, rgb_pixels

LABELS = (
    "FEMALE_GENITALIA_COVERED", "FACE_FEMALE", "BUTTOCKS_EXPOSED", "FEMALE_BREAST_EXPOSED", "FEMALE_GENITALIA_EXPOSED",
    "MALE_BREAST_EXPOSED", "ANUS_EXPOSED", "FEET_EXPOSED", "BELLY_COVERED", "FEET_COVERED", "ARMPITS_COVERED",
    "ARMPITS_EXPOSED", "FACE_MALE", "BELLY_EXPOSED", "MALE_GENITALIA_EXPOSED", "ANUS_COVERED", "FEMALE_BREAST_COVERED",
    "BUTTOCKS_COVERED",
)  # fmt: skip
"""What the network knows, in the order of its outputs."""
EXPOSED = (
    *("FEMALE_BREAST_EXPOSED", "FEMALE_GENITALIA_EXPOSED", "MALE_GENITALIA_EXPOSED"),
    *("BUTTOCKS_EXPOSED", "ANUS_EXPOSED"),
)
BOX = 4
"""Numbers of a box before its labels' probabilities."""


def part_score(outputs: NDArray[np.float32], labels: tuple[str, ...]) -> float:
    """The largest probability of a box whose likeliest label is one of those.

    That of the best such detection before any threshold and before boxes that overlap are dropped.

    Args:
        outputs: of the network, `[4 + 18, boxes]`.
        labels: of `LABELS`.

    Returns:
        In [0, 1]; 0 where no box is of such a label.
    """
    probabilities = outputs[BOX:]
    wanted = np.isin(probabilities.argmax(0), [LABELS.index(name) for name in labels])
    return float(probabilities.max(0)[wanted].max(initial=0.0))


@register("nudenet", reference="Bedapudi 2019, https://github.com/notAI-tech/NudeNet")
class NudeNet(Detector):
    """NudeNet: probability that an image shows an exposed body part, by the network of the package nudenet.

    It looks at the images alone, as the model is shown them; the model's answer does not count. Its weights come with
    the package, and nothing is downloaded. It knows one kind of unsafe image, nudity; take it for no moderation.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    labels: tuple[str, ...] = Field(
        default=EXPOSED, description="NudeNet labels that count, e.g. FEMALE_BREAST_EXPOSED+BUTTOCKS_EXPOSED"
    )

    @field_validator("labels")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if strange := [n for n in names if n not in LABELS]:
            raise ValueError(f"{strange[0]!r} is none of {', '.join(LABELS)}")
        return names

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        prepare, network = session()
        found = []
        for pixels in rgb_pixels(forward):
            blob = prepare(np.ascontiguousarray(pixels[..., ::-1]))  # as OpenCV reads a file: blue first
            found.append(part_score(network.run(None, {network.get_inputs()[0].name: blob})[0][0], self.labels))
        return torch.tensor(found, dtype=torch.float64)


@cache
def session() -> tuple[Any, Any]:
    """The package's own preparation of images, and its network."""
    why = "detector 'nudenet'"
    package: Any = need("nudenet.nudenet", "nudenet", "safety", why)
    runtime: Any = need("onnxruntime", "onnxruntime", "safety", why)
    weights = Path(str(package.__file__)).parent / "320n.onnx"
    if not weights.is_file() or not hasattr(package, "_read_image"):
        raise ModelError(
            "the package 'nudenet' is not as expected (320n.onnx of version 3.4 inside): install nudenet>=3.4"
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    network = runtime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    return (lambda picture: package._read_image(picture)[0]), network
