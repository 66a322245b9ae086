"""Architectures without weights: the small nets of this package, torchvision's and timm's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from unshaken.core.classifier import View
from unshaken.core.errors import ModelError, ParameterError, did_you_mean, near
from unshaken.core.imports import need
from unshaken.models.loaders.spec import unknown_name
from unshaken.models.loaders.weights import first_line
from unshaken.models.networks.resnet9 import ResNet9
from unshaken.models.networks.small import Small, SmallCNN, SmallNet, StridedCNN, UNet
from unshaken.models.networks.small_vit import SmallViT, ViT9
from unshaken.models.networks.tile_net import TileNet
from unshaken.models.networks.timed_cnn import TimedCNN

SMALL: dict[str, type[Small]] = {
    "resnet-9": ResNet9,
    "small": SmallNet,
    "small-cnn": SmallCNN,
    "small-vit": SmallViT,
    "strided-cnn": StridedCNN,
    "tile-net": TileNet,
    "timed-cnn": TimedCNN,
    "unet": UNet,
    "vit-9": ViT9,
}
"""Nets of this package that take `classes`, `channels` and `side`."""


def build(arch: str, *, classes: int, channels: int = 3, side: int = 28) -> nn.Module:
    """Build a net with fresh weights.

    Args:
        arch: a name in `SMALL`, `torchvision:NAME` or `timm:NAME`.
        classes: number of logits K.
        channels: 1 or 3; torchvision's take 3 only.
        side: height and width in pixels, for the nets in `SMALL`.

    Raises:
        ParameterError: there is no such architecture.
        ModelError: it does not take that many channels.
    """
    kind, colon, name = arch.partition(":")
    if not colon and kind in SMALL:
        return SMALL[kind](classes=classes, channels=channels, side=side)
    if kind == "torchvision":
        if channels != 3:
            raise ModelError(f"architecture {arch!r} takes 3 channels, not {channels}")
        return torchvision_net(name, num_classes=classes)
    if kind == "timm":
        return timm_net(name, num_classes=classes, in_chans=channels)
    known = (*SMALL, "torchvision:NAME", "timm:NAME")
    raise ParameterError(f"no architecture {arch!r}; {did_you_mean(arch, known)}")


def build_for(arch: str, weights: Mapping[str, Tensor]) -> tuple[nn.Module, View | None]:
    """A net whose classes, channels and side are read off the shapes of the weights that it is to hold.

    Returns:
        The net with fresh weights, and its view where it takes one size only.

    Raises:
        ParameterError: there is no such architecture.
        ModelError: the weights are not of this architecture.
    """
    if arch in SMALL:
        small = SMALL[arch]
        if any(key not in weights for key in small.telling):
            raise ModelError(f"the weights are not of the architecture {arch!r}: no key {' or '.join(small.telling)}")
        classes_there, channels_there, side = small.shape_of(weights)
        net = small(classes_there, channels_there, side or 32)
        return net, None if side is None else View(side, side, channels=channels_there)
    published = build(arch, classes=1000)
    own = published.state_dict()
    classes = {weights[k].shape[0] for k, v in own.items() if k in weights and v.ndim and v.shape[0] == 1000}
    channels = {
        weights[k].shape[1]
        for k, v in own.items()
        if k in weights and v.ndim == 4 == weights[k].ndim and v.shape[1] == 3
    }
    if classes in ({1000}, set()) and channels <= {3}:
        return published, None
    return build(arch, classes=min(classes or {1000}), channels=min(channels or {3})), None


def torchvision_net(name: str, **options: Any) -> nn.Module:
    """Build a classifier of torchvision.

    Args:
        name: as in `torchvision.models.list_models`.
        options: for its builder; without `weights` they are random and there are no auxiliary heads.

    Raises:
        ParameterError: torchvision has no such classifier.
        ModelError: torchvision refuses the options.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise ParameterError(f"torchvision has no classifier {name!r}; {near(name, known)}")
    if "weights" in options:
        options["progress"] = False
    elif name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    try:
        net: nn.Module = models.get_model(name, **options)
    except (RuntimeError, TypeError, ValueError, ImportError) as error:
        raise ModelError(f"model 'torchvision:{name}' cannot be made: {first_line(error)}") from error
    return net


def timm_net(name: str, **options: Any) -> nn.Module:
    """Build a timm model.

    Raises:
        MissingExtra: timm is absent.
        ParameterError: timm has no such model.
        ModelError: timm refuses the options.
    """
    timm = need("timm", "timm", "models", f"model 'timm:{name}'")
    arch, dot, _ = name.partition(".")
    if not timm.is_model(arch):
        raise unknown_name("timm", name, timm.list_models())
    if dot and name not in (tagged := timm.list_models(f"{arch}.*", pretrained=True)):
        raise ParameterError(f"timm has no weights {name!r}; {near(name, tagged)}")
    try:
        net: nn.Module = timm.create_model(name, **options)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise ModelError(f"model 'timm:{name}' cannot be made: {first_line(error)}") from error
    return net
