"""Prototypes as the head of a network: classes that it was not trained on, in an ordinary classifier."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from unshaken.core.classifier import INPUT, Classifier
from unshaken.core.errors import ModelError
from unshaken.explain.engine.layer_features import layer_features
from unshaken.harden.engine.layers import last_layer
from unshaken.models.networks.unit_head import UnitHead, find_unit_head
from unshaken.tasks.few_shot.head import PrototypeHead


def embed(model: Classifier, images: Tensor, *, cache: bool = True) -> Tensor:
    """Compute the features that a model's last linear layer weighs, float32 `[N, D]`; see `layer_features`.

    Args:
        model: with a linear last layer.
        images: uint8 `[N, C, H, W]`.
        cache: as in `layer_features`.

    Raises:
        ModelError: it has no linear layer, or that layer is not given `[N, D]`.
    """
    layer = last_layer(model.net) + INPUT
    return layer_features(model, images, [layer], pool="flat", cache=cache)[layer]


def head_of(model: Classifier, *, scale: float = 10.0) -> PrototypeHead:
    """The classes of a trained network as a prototype head, to which others are added (the joint scenario).

    Args:
        model: best trained by the recipe `normalised-softmax`; of another one the rows of the last layer are taken as
            directions, and its biases and their lengths are left out.
        scale: of a network that has none of its own.
    """
    own = find_unit_head(model.net)
    weight = own.weight if own is not None else cast(nn.Linear, model.net.get_submodule(last_layer(model.net))).weight
    names = model.classes or tuple(str(i) for i in range(len(weight)))
    return PrototypeHead.of(weight, names, scale if own is None else own.scale)


def add_classes(model: Classifier, head: PrototypeHead) -> Classifier:
    """A classifier with the classes of a head, to be audited, attacked or explained as any other one.

    Args:
        model: whose features the head's classes are made of; left as it is.
        head: its classes are the new logits.

    Raises:
        ModelError: the head is for features of another length.
    """
    net = copy.deepcopy(model.net)
    own = find_unit_head(net)
    name = next(n for n, m in net.named_modules() if m is own) if own is not None else last_layer(net)
    width = head.prototypes.shape[1]
    old = own.weight if own is not None else cast(nn.Linear, net.get_submodule(name)).weight
    if old.shape[1] != width:
        raise ModelError(f"the head is for features of {width} numbers, those of {model.name!r} have {old.shape[1]}")
    new = UnitHead(width, len(head), head.scale).to(old.device)
    with torch.no_grad():
        new.weight.copy_(head.prototypes)
    net.set_submodule(name, new)
    return Classifier(
        net.eval(),
        mean=None if model.mean is None else model.mean.flatten().tolist(),
        std=None if model.std is None else model.std.flatten().tolist(),
        classes=head.classes,
        view=model.view,
        name=f"{model.name} with {len(head)} classes",
    )
