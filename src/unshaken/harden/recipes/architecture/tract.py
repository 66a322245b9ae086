"""TrAct: a first layer that learns as if its pre-activations were trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pydantic import ConfigDict, Field, PositiveFloat, PrivateAttr
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, did_you_mean
from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Recipe, Setup, Step
from unshaken.harden.recipes.architecture._preconditioned import Form, check_layer, tract, tract_gradient

__all__ = ["TrAct", "first_layer", "tract", "tract_gradient"]


@register("tract", reference="Petersen et al. 2024, arXiv:2410.23970")
class TrAct(Recipe):
    """TrAct: preconditions the first layer's gradient so that its activations learn faster, `GradW (C + lambda I)^-1`.

    The plain gradient is proportional to pixel values, so that bright images and images of much contrast dominate. This
    one is the ridge least-squares fit to a gradient step on the pre-activations: `dW = argmin_D sum_i |-eta b g_i -
    D x_i|^2 + lambda b |D|^2`. Network, outputs, optimizer, input gradients and all other gradients are unchanged.

    It speeds early training up and weighs weak, high-frequency directions of the input up to 1/lambda times more, at a
    cost in robustness to noise: measure it. The input must be normalised; with pixels in [0, 1] there is no gain.
    """

    model_config = ConfigDict(populate_by_name=True)
    takes: ClassVar[frozenset[str]] = frozenset({"layer"})
    refuses: ClassVar[Mapping[str, str]] = {
        "weights": "moved weights would follow the turned gradient; leave one of the two out"
    }

    layer: str = Field("auto", description="name of a Conv2d or Linear in the network; auto: the first one that runs")
    ridge: PositiveFloat = Field(0.1, alias="lambda", description="lambda, for inputs of mean 0 and deviation 1")
    form: Form = Field("auto", description="primal inverts n x n, dual b x b, n inputs and b rows; auto: the smaller")
    _place: str = PrivateAttr(default="")

    @override
    def begin(self, setup: Setup) -> None:
        self._place = self.found(setup.model, setup.images)

    def found(self, model: Classifier, images: Tensor) -> str:
        """The layer's name in `model.net`; the network is run on a few images.

        Args:
            model: any mode.
            images: `[N, C, H, W]` in [0, 1].

        Raises:
            ModelError: see `begin`.
        """
        layers = dict(model.net.named_modules())
        if self.layer != "auto":
            if self.layer not in layers:
                near = did_you_mean(self.layer, [n for n, m in layers.items() if isinstance(m, nn.Conv2d | nn.Linear)])
                raise ModelError(f"tract: the network has no layer {self.layer!r}; {near}")
            check_layer(layers[self.layer], self.layer)
            return self.layer
        name, learned = first_layer(model, images)
        check_layer(layers[name], name)
        if learned:
            raise ModelError(
                f"tract: before {name!r}, the first Conv2d or Linear, something learns: its input is no image; "
                "name the layer to turn it all the same"
            )
        return name

    @contextmanager
    @override
    def around(self, step: Step, loss: Callable[[], Tensor]) -> Iterator[None]:
        name = self._place
        layer = step.classifier.net.get_submodule(name)
        with tract(layer, ridge=self.ridge, form=self.form, name=name, average=step.average) as turned:
            yield
        if not turned.gradients:
            raise ModelError(f"tract: no gradient reached layer {name!r}: name one that the loss depends on")


def first_layer(model: Classifier, images: Tensor) -> tuple[str, bool]:
    """The first convolution or linear layer that runs, and whether what it is shown depends on weights that learn.

    Args:
        model: left in the mode it is in.
        images: `[N, C, H, W]` in [0, 1].

    Raises:
        ModelError: there is none.
    """
    met: list[tuple[str, bool]] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _module, inputs: met.append((name, bool(inputs[0].requires_grad)))

    layers = [(n, m) for n, m in model.net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [m.register_forward_pre_hook(note(name)) for name, m in layers]
    modes = [(m, m.training) for m in model.modules()]
    try:
        with torch.enable_grad():
            model.eval()(images.detach())
    finally:
        for module, mode in modes:
            module.training = mode
        for handle in handles:
            handle.remove()
    if not met:
        raise ModelError("tract: the network runs no Conv2d or Linear: there is no layer to turn")
    return met[0]
