"""Networks whose layers have lost what they learned, from the output down."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.explain.engine.layers import layer_shapes


def cascade(model: Classifier, images: Tensor, stages: int, seed: int) -> Iterator[Classifier]:
    """Copies of a model with more and more layers randomised, from the output down; the last one with all.

    The entries of each parameter are permuted: a layer keeps its scale and its distribution of weights, so that
    activations neither vanish nor overflow, and loses what it learned. (The publication draws them anew.)

    Args:
        model: left as it is.
        images: at least one, `[n, C, H, W]`, by which the order of the layers is found.
        stages: number of copies, at equal steps of layers; as many as there are layers at most, and 0 for that many.
        seed: of the permutations.

    Yields:
        The same copy each time, changed further.

    Raises:
        ModelError: the model has no weights.
    """
    names = [name for name in dict(layer_shapes(model, images)) if any(True for _ in _own(model, name))]
    if not names:
        raise ModelError(f"model {model.name!r} has no layer with weights: there is nothing to randomise")
    other, count = copy.deepcopy(model), min(stages or len(names), len(names))
    drawn = torch.Generator().manual_seed(seed)
    done = 0
    for stage in range(1, count + 1):
        until = stage * len(names) // count
        for name in names[::-1][done:until]:
            for weights in _own(other, name):
                _permute(weights, drawn)
        done = until
        yield other


def _own(model: Classifier, name: str) -> Iterator[nn.Parameter]:
    """The weights of a layer itself, those of layers inside it left out."""
    return model.net.get_submodule(name).parameters(recurse=False)


def _permute(weights: nn.Parameter, drawn: torch.Generator) -> None:
    with torch.no_grad():
        order = torch.randperm(weights.numel(), generator=drawn).to(weights.device)
        weights.copy_(weights.flatten()[order].view_as(weights))
