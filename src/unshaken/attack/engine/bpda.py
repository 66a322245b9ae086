"""BPDA: finds where a model stops gradients, and leads the backward pass around that place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from typing_extensions import override

from unshaken.attack.engine.ball import finite_part
from unshaken.attack.engine.losses import margin
from unshaken.core.batch import Batch
from unshaken.core.classifier import INPUT, Classifier
from unshaken.core.oracle import Oracle, required
from unshaken.core.rng import seeded

MOST_BRIDGES = 4
"""Places at which gradients stop that are bridged, one after the other."""
FIT_STEPS, FIT_IMAGES = 150, 16
"""Steps of Adam on a fitted stand-in, and the images that it is fitted on."""


class Bridge(NamedTuple):
    """A way for the gradient around what stops it: from one place of a model back to an earlier one.

    Args:
        target: layer whose input gets a gradient, as in `model.named_modules()`.
        source: place that the gradient is led to: a layer's name for its output, `NAME:in` for its input.
        stand_in: differentiable function of the source whose backward pass is taken; None for the identity.
    """

    target: str
    source: str
    stand_in: nn.Module | None = None

    @property
    def words(self) -> str:
        """The place and the replacement, for a person."""
        origin = "the images" if self.source == INPUT else self.source
        return f"{'the identity' if self.stand_in is None else 'a fitted map'} from {origin} to {self.target}"


class BridgedModel(nn.Module):
    """A model whose forward pass is its own, and whose backward pass takes the bridges (Athalye et al. 2018).

    At each bridge from u to z the input z is given as `z + (g(u) - g(u))`, with the first two terms' values fixed, so
    that it keeps its value and has the gradient of g.

    Args:
        model: from images in [0, 1] to logits.
        bridges: in the order of the forward pass.
    """

    def __init__(self, model: Classifier, bridges: tuple[Bridge, ...]) -> None:
        super().__init__()
        self.model, self.bridges = model, bridges
        self.stand_ins = nn.ModuleList(bridge.stand_in for bridge in bridges if bridge.stand_in is not None)

    @override
    def forward(self, images: Tensor) -> Tensor:
        with _observed(self.model, [bridge.source for bridge in self.bridges]) as found, ExitStack() as stack:
            modules = dict(self.model.named_modules())
            for bridge in self.bridges:

                def lead(_module: nn.Module, inputs: tuple[Tensor, ...], bridge: Bridge = bridge) -> object:
                    way = found[bridge.source]
                    way = way if bridge.stand_in is None else bridge.stand_in(way)
                    if way.shape != inputs[0].shape:
                        return None  # called with something else besides, such as a further crop
                    return (inputs[0].detach() + (way - way.detach()), *inputs[1:])

                stack.callback(modules[bridge.target].register_forward_pre_hook(lead, prepend=True).remove)
            logits: Tensor = self.model(images)
        return logits


class StandIn(nn.Module):
    """Two small convolutions from one place of a model to another, of any size and number of channels.

    Args:
        channels: of the source.
        shape: of the target, `(D, H, W)`.
    """

    def __init__(self, channels: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.size = shape[1:]
        self.body = nn.Sequential(nn.Conv2d(channels, 32, 3, padding=1), nn.SiLU(), nn.Conv2d(32, shape[0], 1))

    @override
    def forward(self, source: Tensor) -> Tensor:
        found: Tensor = self.body(F.adaptive_avg_pool2d(source, self.size))
        return found


def lead_around(oracle: Oracle, batch: Batch, seed: int) -> Classifier | None:
    """A surrogate with the model's own answers, whose gradient passes what stops the model's.

    The place is found by the gradient of the margin by every layer's input: it stops before the first layer that has
    one. From there it is led to the last place before that has the same shape; where none has, through a small
    network that is fitted to what the model makes of these images.

    Args:
        oracle: runs the model and counts its passes.
        batch: labelled images; the first 16 are used.
        seed: of the fit.

    Returns:
        The surrogate, or None where no layer has a gradient or no bridge brings it to the images.
    """
    model = oracle.model
    bridges: tuple[Bridge, ...] = ()
    few = batch[slice(0, FIT_IMAGES)]
    for _ in range(MOST_BRIDGES + 1):
        bridged = BridgedModel(model, bridges)
        way = " and ".join(bridge.words for bridge in bridges)
        surrogate = Classifier(bridged, classes=model.classes, view=model.view, name=way, reject=model.reject).eval()
        places = _trace(oracle.share_meter(surrogate), bridged.model, few)
        if places[0].alive:
            return surrogate if bridges else None
        bridge = _next_bridge(places, seed)
        if bridge is None or bridge in bridges:
            return None
        bridges = (*bridges, bridge)
    return None


class _Place(NamedTuple):
    name: str
    value: Tensor
    alive: bool


def _trace(oracle: Oracle, model: Classifier, batch: Batch) -> list[_Place]:
    """Record every layer's input and output in order, the images first, and whether the margin has a gradient by it."""
    every = [name + side for name, _ in model.named_modules() for side in (INPUT, "")]
    with torch.enable_grad(), _observed(model, every, leaves=True) as found:
        logits, _ = oracle.forward(batch.images.detach().float().requires_grad_(True))
        slopes = oracle.gradients(margin(logits, required(batch.labels)), list(found.values()))
    alive = [bool((finite_part(s).flatten(1).abs().amax(1) > 0).float().mean() > 0.5) for s in slopes]
    return [_Place(name, x.detach(), one) for (name, x), one in zip(found.items(), alive, strict=True)]


def _next_bridge(places: list[_Place], seed: int) -> Bridge | None:
    n = len(places[0].value)
    live = (i for i, p in enumerate(places) if p.alive and p.name.endswith(INPUT) and len(p.value) == n)
    at = next(live, None)
    if at is None:
        return None
    target, before = places[at], [place for place in places[:at] if not place.alive]
    name = target.name.removesuffix(INPUT)
    same = [place for place in before if place.value.shape == target.value.shape]
    if same:
        return Bridge(name, same[-1].name)
    maps = [place for place in before if place.value.ndim == 4 == target.value.ndim and len(place.value) == n]
    if not maps:
        return None
    with torch.inference_mode(False), torch.enable_grad(), seeded(seed):
        return Bridge(name, maps[-1].name, _fit(maps[-1].value, target.value))


def _fit(source: Tensor, target: Tensor) -> StandIn:
    """A stand-in that is fitted by least squares, in float32."""
    channels, height, width = target.shape[1:]
    made = StandIn(source.shape[1], (channels, height, width)).to(source.device)
    optimizer = torch.optim.Adam(made.parameters(), lr=0.01)
    for _ in range(FIT_STEPS):
        optimizer.zero_grad()
        torch.autograd.backward(F.mse_loss(made(source.float()), target.float()))
        optimizer.step()
    return made.requires_grad_(False).eval()


@contextmanager
def _observed(model: nn.Module, places: list[str], *, leaves: bool = False) -> Iterator[dict[str, Tensor]]:
    """Collect what passes the places at their first use; `leaves` gives an input without a gradient one of its own."""
    found: dict[str, Tensor] = {}
    handles: list[RemovableHandle] = []
    modules = dict(model.named_modules())

    def enters(place: str) -> None:
        def given(_module: nn.Module, inputs: tuple[object, ...]) -> object:
            x = inputs[0] if inputs else None
            if not isinstance(x, Tensor) or not x.is_floating_point() or place in found:
                return None
            if leaves and not x.requires_grad:
                x = x.detach().requires_grad_(True).clone()  # a layer may write into it
            found[place] = x
            return (x, *inputs[1:])

        handles.append(modules[place.removesuffix(INPUT)].register_forward_pre_hook(given))

    def leaves_with(place: str) -> None:
        def gives(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.is_floating_point() and output.requires_grad >= leaves:
                found.setdefault(place, output)

        handles.append(modules[place].register_forward_hook(gives))

    try:
        for place in dict.fromkeys(places):
            enters(place) if place.endswith(INPUT) else leaves_with(place)
        yield found
    finally:
        for handle in handles:
            handle.remove()


class SmoothedModel(nn.Module):
    """A model behind fixed patterns of Gaussian noise, another in every pass and the same again after all of them.

    Averaged over as many passes as there are patterns, its gradient is that of the smoothed model, which points
    somewhere even where the model's own gradient turns within less than a step.

    Args:
        model: from images in [0, 1] to logits.
        sigma: of the noise, in [0, 1] pixel units.
        patterns: number of patterns.
        seed: of the patterns.
    """

    def __init__(self, model: Classifier, *, sigma: float, patterns: int, seed: int) -> None:
        super().__init__()
        self.model, self.sigma, self.patterns, self.seed = model, sigma, patterns, seed
        self.calls = 0

    @override
    def forward(self, images: Tensor) -> Tensor:
        number = self.calls % self.patterns
        self.calls += 1
        generator = torch.Generator().manual_seed(self.seed * self.patterns + number)
        noise = torch.randn(images.shape[1:], generator=generator).to(images)
        logits: Tensor = self.model(images + self.sigma * noise)
        return logits
