"""`demo`: the small networks that come with this package: two for Fashion-MNIST, and two for textures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unshaken.core.classifier import Classifier, View
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.spec import ModelSpec, unknown_name
from unshaken.models.loaders.weights import load_weights, read_weights
from unshaken.models.networks.small import SmallNet
from unshaken.models.networks.tile_net import TileNet

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
MEAN, STD = 0.2860, 0.3530
CLOTHES, TILES = View(28, 28, channels=1), View(128, 128, channels=3)
BROKEN_OR_TILEABLE = ("broken", "tileable")
VIEWS: Mapping[str, View] = {"standard": CLOTHES, "robust": CLOTHES, "tile-net": TILES, "tile-judge": TILES}


@model_kind("demo", form="demo[:standard|:robust|:tile-net|:tile-judge]")
def load(spec: ModelSpec, download: bool) -> Classifier:
    """`demo`, `demo:standard` (trained plainly), `demo:robust` (adversarially, linf 0.1), `demo:tile-net` (textures).

    `demo:tile-judge` is `demo:tile-net` trained apart, to judge what was made by its loss.

    Raises:
        ParameterError: there is no such demo model.
    """
    name = spec.name or "standard"
    if name not in VIEWS:
        raise unknown_name(spec.kind, name, VIEWS)
    path = Path(__file__).parents[1] / "demo" / f"{name}.safetensors"
    if VIEWS[name] is TILES:
        tiles = TileNet(classes=2, channels=3, side=128)
        load_weights(tiles, read_weights(path), path)
        return Classifier(tiles, classes=BROKEN_OR_TILEABLE, view=TILES, name=f"demo:{name}")
    net = SmallNet(classes=len(CLASSES), channels=1, side=28)
    load_weights(net, read_weights(path), path)
    return Classifier(net, mean=[MEAN], std=[STD], classes=CLASSES, view=CLOTHES, name=f"demo:{name}")
