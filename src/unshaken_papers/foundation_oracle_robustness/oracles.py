"""Probes on pretrained networks, as classifiers of small images."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError
from unshaken.core.search_copy import search_copy
from unshaken.detect.engine.anatomy import Anatomy, as_seen, penultimate
from unshaken.labels.engine.out_of_sample import softmax_regression
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split

PENALTY = 0.03
"""L2 penalty on the probes' weights."""
LIMIT = 16
"""Images of one pass: large ones are quickest in small batches on a processor."""


class ProbedNet(nn.Module):
    """A network that sees images in its own size, with a probe in the place of its head.

    Args:
        model: with the probe.
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(as_seen(images, self.model))
        return logits


@dataclass(frozen=True, slots=True)
class Oracles:
    """The oracles of the experiment.

    Args:
        committee: those that bound the search.
        held_out: the one that is asked at its end.
    """

    committee: Sequence[Classifier]
    held_out: Classifier

    def knows(self, images: Tensor, labels: Tensor) -> Tensor:
        """Bool `[N]`: the largest mean probability of the committee is the label's."""
        with torch.no_grad():
            parts = torch.split(images, LIMIT)
            shares = [torch.cat([oracle(part).softmax(1) for part in parts]) for oracle in self.committee]
        return torch.stack(shares).mean(0).argmax(1) == labels


def probed(context: Context, name: str, spec: str, side: int, data: Split) -> Classifier:
    """A pretrained network with a linear probe for the classes of the data, from the cache or fitted.

    Args:
        context: of the experiment.
        name: unique in the run.
        spec: of the network.
        side: in pixels that it sees; 0 for its own.
        data: that the probe is fitted on.

    Raises:
        ModelError: the network has no linear head.
    """
    model = context.load_model(spec)
    if side:
        view = model.view or View(side, side)
        model.view = replace(view, height=side, width=side)
    example = as_seen(data.first(2).batch().images, model)
    head = Anatomy.of(model, example).head
    if head is None:
        raise ModelError(f"oracle {spec!r} has no linear head that a probe could replace: name another network")
    quick = search_copy(model, example) or model

    def make() -> dict[str, Tensor]:
        features = penultimate(quick, data.batch().images, LIMIT)[0].float()
        mean, deviation = features.mean(0), features.std(0).clamp(min=1e-6)
        weight, bias = softmax_regression((features - mean) / deviation, data.labels, data.classes, PENALTY)
        weight = weight / deviation[:, None]
        return {"weight": weight.T.contiguous(), "bias": bias - mean @ weight}

    key = {"oracle": spec, "side": side, "data": data.digest, "penalty": PENALTY}
    found = context.weights(name, key, make, [softmax_regression, penultimate])
    return with_head(model, head, found, example, name)


def with_head(model: Classifier, head: str, probe: dict[str, Tensor], example: Tensor, name: str) -> Classifier:
    """A classifier with another last layer, in the quickest form that says the same.

    Args:
        model: left as it is.
        head: name of its last linear layer.
        probe: `weight` `[K, D]` and `bias` `[K]` of the other one.
        example: images in the model's own size.
        name: of the result.
    """
    other = copy.deepcopy(model)
    layer = nn.Linear(probe["weight"].shape[1], probe["weight"].shape[0])
    layer.load_state_dict(probe)
    other.net.set_submodule(head, layer)
    other = other.eval().requires_grad_(False)
    quick = search_copy(other, example) or other
    return Classifier(ProbedNet(quick), name=name).eval().requires_grad_(False)
