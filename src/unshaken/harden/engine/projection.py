"""A projection head beside a network's own, for losses on features; it leaves when training ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.device import device_of
from unshaken.core.rng import seeded
from unshaken.harden.engine.layers import last_layer, watched_features
from unshaken.harden.engine.recipe import Step

Output = Literal["logits", "features", "projection"]


class ProjectionNet(nn.Module):
    """A classifier's net with a projection head on the features that its last linear layer weighs.

    Called under `giving` it returns the outputs named there, side by side; else the logits.

    Args:
        encoder: the net.
        head: name of its last linear layer.
        projector: from features `[N, D]` to `[N, P]`.
        projected: P.
    """

    def __init__(self, encoder: nn.Module, head: str, projector: nn.Module, projected: int) -> None:
        super().__init__()
        self.projector = projector  # before the encoder, whose head stays the last linear layer
        self.encoder, self.head = encoder, head
        self.projected = projected
        self._names: Sequence[Output] = ("logits",)

    @property
    def widths(self) -> dict[Output, int]:
        """Numbers of each output a sample."""
        last = self.last
        return {"logits": last.out_features, "features": last.in_features, "projection": self.projected}

    @property
    def last(self) -> nn.Linear:
        """The linear layer that gives the logits."""
        return cast(nn.Linear, self.encoder.get_submodule(self.head))

    @override
    def forward(self, images: Tensor) -> Tensor:
        if list(self._names) == ["logits"]:
            logits: Tensor = self.encoder(images)
            return logits
        with watched_features(self.encoder, self.head) as given:
            found = {"logits": self.encoder(images)}
        features = given[-1]
        found["features"] = features
        if "projection" in self._names:
            found["projection"] = self.projector(features)
        return torch.cat([found[name] for name in self._names], 1)

    @contextmanager
    def giving(self, *names: Output) -> Iterator[None]:
        """Calls inside give these outputs, side by side."""
        self._names = names
        try:
            yield
        finally:
            self._names = ("logits",)


def add_projector(model: Classifier, hidden: int, projected: int, seed: int) -> Classifier:
    """The classifier with a fresh projection head: two linear layers with a ReLU between, or one where `hidden` is 0.

    Args:
        model: changed in place; an earlier projection head is replaced.
        hidden: units between.
        projected: numbers of a projection.
        seed: of its weights.

    Raises:
        ModelError: the net has no linear layer under a name.
    """

    def build(width: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Linear(hidden or width, projected)]
        if hidden:
            layers = [nn.Linear(width, hidden), nn.ReLU(inplace=True), *layers]
        return nn.Sequential(*layers)

    return attach_projector(model, build, projected, seed)


def attach_projector(model: Classifier, build: Callable[[int], nn.Module], projected: int, seed: int) -> Classifier:
    """The classifier with a fresh projection head of any form.

    Args:
        model: changed in place; an earlier projection head is replaced.
        build: makes the head, from the width D of the features; it takes `[N, D]` to `[N, projected]`.
        projected: numbers that it gives.
        seed: of its weights.

    Raises:
        ModelError: the net has no linear layer under a name.
    """
    net: Any = model.net.encoder if isinstance(model.net, ProjectionNet) else model.net
    head = last_layer(net)
    width = net.get_submodule(head).in_features
    with seeded(seed):
        projector = build(width)
    device = device_of(net)
    model.net = ProjectionNet(net, head, projector.to(device), projected)
    return model


def remove_projector(model: Classifier) -> None:
    """The net alone again; weights that were saved with a projection head load into it too."""
    net = cast(ProjectionNet, model.net)
    load_without(net.encoder, "projector")
    model.net = net.encoder


def outputs(step: Step, images: Tensor, *names: Output) -> tuple[Tensor, ...]:
    """Several outputs of one counted training pass, with gradients.

    Args:
        step: the batch, of a model with a projection head.
        images: `[N, C, H, W]` in [0, 1].
        names: what is wanted.

    Returns:
        Each `[N, its width]`.
    """
    net = cast(ProjectionNet, step.classifier.net)
    with net.giving(*names):
        found = step.model(images)
    return tuple(torch.split(found, [net.widths[name] for name in names], 1))


def load_without(encoder: nn.Module, part: str) -> None:
    """Let a net that was taken out of another load weights that were saved of the whole, too.

    Args:
        encoder: the net; in the whole it was the submodule `encoder`.
        part: name of the other submodule of the whole, whose weights are dropped.
    """

    def keep_encoder(_: nn.Module, weights: dict[str, Any], prefix: str, *rest: Any) -> None:
        if not any(key.startswith(f"{prefix}{part}.") for key in weights):
            return
        for key in [k for k in weights if k.startswith((f"{prefix}encoder.", f"{prefix}{part}."))]:
            value = weights.pop(key)
            if key.startswith(f"{prefix}encoder."):
                weights[prefix + key.removeprefix(f"{prefix}encoder.")] = value

    encoder.register_load_state_dict_pre_hook(keep_encoder)  # type: ignore[no-untyped-call]
