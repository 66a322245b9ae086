"""The mixing network: from feature maps of two frozen networks to the weight of the robust one, image by image."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.engine.losses import Difference, dlr_targeted
from unshaken.attack.engine.problem import Problem, choose_loss
from unshaken.attack.gradient.pgd import PGD, PGDState
from unshaken.certify.smoothing.mixture import MixtureNet
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of
from unshaken.core.errors import UNFIT_INPUT, ModelError, did_you_mean
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient, Objective
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.layers import SIDES, channels_of
from unshaken.harden.recipes.ensembles.layer_heads import spread

log = logging.getLogger(__name__)


def named(names: tuple[str, ...], model: Classifier) -> tuple[str, str]:
    """The two layers that were named, else the middle and the last of those with maps."""
    found = names or spread(model, 2)
    if len(found) != 2:
        raise ModelError(f"mixing-network: model {model.name!r} has no two layers with maps: name them")
    return found[0], found[1]


def channels_at(model: Classifier, robust: Classifier, layers: tuple[Sequence[str], Sequence[str]]) -> tuple[int, int]:
    """Channels of the earlier and of the later maps of both networks together, by a pass over a blank image.

    Args:
        model: g.
        robust: h.
        layers: an earlier and a later layer of each.

    Raises:
        ModelError: a layer is absent or gives no maps, or the two take no image in common.
    """
    size = robust.input_size or model.input_size
    sizes = [size] if size else [(side, side) for side in SIDES]
    view = robust.view or model.view
    count = view.channels if view is not None else channels_of(robust.net)
    device = device_of(model)
    for height, width in sizes:
        blank = torch.zeros(1, count, height, width, device=device)
        shapes = [_shapes(net, names, blank) for net, names in zip((model, robust), layers, strict=True)]
        if all(len(found) == 2 for found in shapes):
            if any(len(shape) != 4 for found in shapes for shape in found):
                raise ModelError(
                    f"mixing-network: of the layers {layers} one gives no maps [C, H, W]: name others, such as "
                    "convolutions"
                )
            return shapes[0][0][1] + shapes[1][0][1], shapes[0][1][1] + shapes[1][1][1]
    raise ModelError(
        f"mixing-network: the layers {layers} of {model.name!r} and {robust.name!r} are not reached by images of one "
        f"size; tried {', '.join(f'{h} x {w}' for h, w in sizes)}"
    )


def _shapes(model: Classifier, names: Sequence[str], images: Tensor) -> list[torch.Size]:
    """Shapes of the layers' outputs that a pass reaches: a head behind them may want images of another size."""
    found: dict[str, torch.Size] = {}
    modules = dict(model.net.named_modules())
    for name in names:
        if name not in modules:
            raise ModelError(f"model {model.name!r} has no layer {name!r}; {did_you_mean(name, modules)}")
    handles = [
        modules[name].register_forward_hook(lambda _m, _i, out, name=name: found.__setitem__(name, out.shape))
        for name in names
    ]
    try:
        with evaluating(model), torch.no_grad():
            model(images)
    except UNFIT_INPUT as error:
        log.info("%s does not take %s: %s", model.name, tuple(images.shape), error)
    finally:
        for handle in handles:
            handle.remove()
    return [found[name] for name in names if name in found]


Join = Literal["direct", "conv"]
CLIP = 0.6
"""Deviations of the batch from its mean to which the gate is clipped in training."""


class Block(nn.Module):
    """A pre-activation residual block: `x + conv(relu(bn(conv(relu(bn(x))))))`, the shortcut a 1 x 1 convolution.

    Args:
        width_in: channels.
        width_out: channels.
        stride: of the first convolution.
    """

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = nn.BatchNorm2d(width_in), nn.BatchNorm2d(width_out)
        self.down = nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False)
        self.last = nn.Conv2d(width_out, width_out, 3, 1, 1, bias=False)
        same = stride == 1 and width_in == width_out
        self.short = None if same else nn.Conv2d(width_in, width_out, 1, stride, bias=False)

    @override
    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.first(x))
        inner: Tensor = self.last(F.relu(self.second(self.down(active))))
        return inner + (x if self.short is None else self.short(active))


def stage(width_in: int, width_out: int, blocks: int) -> nn.Sequential:
    """Blocks of which the first has stride 2."""
    return nn.Sequential(
        *(Block(width_in if i == 0 else width_out, width_out, 2 if i == 0 else 1) for i in range(blocks))
    )


class Trunk(nn.Module):
    """Earlier maps through a stage, later maps added, two more stages, the mean over places, one number.

    Args:
        early: channels of the earlier maps of both networks together.
        late: of the later ones.
        widths: channels of the three stages.
        blocks: in each stage.
        join: how later maps are added: `direct` where their shape is that of the stage, or through a 1 x 1 `conv`.

    Raises:
        ModelError: `direct`, and the channels differ.
    """

    def __init__(self, early: int, late: int, widths: Sequence[int], blocks: int, join: Join) -> None:
        super().__init__()
        one, two, three = widths
        if join == "direct" and late != one:
            raise ModelError(
                f"mixing-network: the later layers have {late} channels together, the first stage {one}: give widths "
                f"that begin with {late}, or join=conv"
            )
        self.first, self.second, self.third = (
            stage(early, one, blocks), stage(one, two, blocks), stage(two, three, blocks),
        )  # fmt: skip
        self.join = None if join == "direct" else nn.Conv2d(late, one, 1, bias=False)
        self.head = nn.Linear(three, 1, bias=False)

    @override
    def forward(self, early: Tensor, late: Tensor) -> Tensor:
        x = self.first(early)
        if self.join is not None:
            late = _sized(self.join(late), (x.shape[2], x.shape[3]))
        elif late.shape != x.shape:
            raise ModelError(
                f"mixing-network: later maps of {tuple(late.shape[1:])} are not of the first stage's shape "
                f"{tuple(x.shape[1:])}: give join=conv"
            )
        x = self.third(self.second(x + late))
        found: Tensor = self.head(x.mean((2, 3)))[:, 0]
        return found


class Gate(nn.Module):
    """From the trunk's number to gamma, a logit of "attacked", and to the weight of the robust network.

    `gamma = s BN(c) + b`. In training c is clipped to the batch's mean and 0.6 of its deviation, and the weight is
    `sigmoid(gamma)`; afterwards it is `low + span sigmoid(gamma)`.

    Args:
        scale: s.
        bias: b in use; it moves with the share of attacked images that one reckons with.
        training_bias: b in training.
        low: the smallest weight in use.
        span: how much larger it may be.
        momentum: of the batch norm's statistics.
    """

    def __init__(
        self, *, scale: float, bias: float, training_bias: float, low: float, span: float, momentum: float = 0.01
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1, affine=False, momentum=momentum)
        self.scale, self.bias, self.training_bias, self.low, self.span = scale, bias, training_bias, low, span

    @override
    def forward(self, raw: Tensor) -> Tensor:
        if self.training:
            mean, deviation = raw.detach().mean(), raw.detach().std(correction=0)
            raw = torch.clamp(raw, mean - CLIP * deviation, mean + CLIP * deviation)
        normal: Tensor = self.norm(raw[:, None])[:, 0]
        return self.scale * normal + (self.training_bias if self.training else self.bias)

    def alpha(self, gamma: Tensor) -> Tensor:
        """Gamma `[N]` to the weight of the robust network `[N]`."""
        if self.training:
            return gamma.sigmoid()
        if self.span == 0:
            return torch.full_like(gamma, self.low)
        return self.low + self.span * gamma.sigmoid()


class MixingNet(MixtureNet):
    """A mixture whose weight depends on the image; both networks are frozen, in evaluation mode always.

    Args:
        model: g. The mixture is to stand in its net's place, behind its normalisation.
        robust: h, a classifier of images in [0, 1].
        layers: two names of layers of each: earlier and later, first g's.
        trunk: see `Trunk`.
        gate: see `Gate`.
        scale_accurate: T_g.
        scale_robust: T_h.
    """

    varies: ClassVar[bool] = True
    robust: Classifier
    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        model: Classifier,
        robust: Classifier,
        layers: tuple[tuple[str, str], tuple[str, str]],
        trunk: Trunk,
        gate: Gate,
        *,
        scale_accurate: float,
        scale_robust: float,
    ) -> None:
        super().__init__(
            model.net.requires_grad_(False),
            robust.requires_grad_(False),
            alpha=gate.low + gate.span,
            scale_accurate=scale_accurate,
            scale_robust=scale_robust,
        )
        self.trunk, self.gate, self.layers = trunk, gate, layers
        self.register_buffer("mean", model.mean, persistent=False)
        self.register_buffer("std", model.std, persistent=False)
        self.tells_gamma = False
        self.accurate.eval()
        self.robust.eval()

    @property
    @override
    def least_alpha(self) -> float:
        return self.gate.low + min(0.0, self.gate.span)

    @override
    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.accurate.eval()
        self.robust.eval()
        return self

    @override
    def robust_logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.robust(self._restored(images))
        return logits

    @override
    def weights(self, images: Tensor) -> Tensor:
        return self.gate.alpha(self.outputs(images)[2])

    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of g and of h, both `[N, K]`, and gamma `[N]`, from one pass through each.

        Args:
            images: normalised for g, `[N, C, H, W]`.
        """
        g = Classifier(self.accurate)
        accurate, ours = g.features(images, self.layers[0])
        robust, theirs = self.robust.features(self._restored(images), self.layers[1])
        early, late = (_level([ours[a], theirs[b]]) for a, b in zip(*self.layers, strict=True))
        gamma: Tensor = self.gate(self.trunk(early, late))
        return accurate, robust, gamma

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Normalised images to log-probabilities `[N, K]`; with `tells_gamma`, `[N, K + 1]` with gamma as the last."""
        accurate, robust, gamma = self.outputs(images)
        found = self.mix(accurate, robust, self.gate.alpha(gamma))
        return torch.cat([found, gamma[:, None]], 1) if self.tells_gamma else found

    def _restored(self, images: Tensor) -> Tensor:
        """Images in [0, 1] again."""
        if self.mean is None or self.std is None:
            return images
        return images * self.std + self.mean


def _level(maps: list[Tensor]) -> Tensor:
    """Maps of several networks side by side, the larger ones pooled to the smallest."""
    for found in maps:
        if found.ndim != 4:
            raise ModelError(
                f"mixing-network: a layer gives {tuple(found.shape[1:])}: name layers with maps [C, H, W], such as "
                "convolutions"
            )
    size = min(m.shape[2] for m in maps), min(m.shape[3] for m in maps)
    return torch.cat([_sized(m, size) for m in maps], 1)


def _sized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if tuple(maps.shape[2:]) == size else F.adaptive_avg_pool2d(maps, size)


class TargetedOrNot(Objective):
    """The cross-entropy of the label where there is no target, else the targeted DLR (with < 4 classes: `z_t - z_y`).

    Args:
        labels: int64 `[N]`.
        targets: int64 `[N]`, -1 for none.
    """

    labels: Tensor
    targets: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """Objective of each image, `[N]`."""
        logits = required(answer.logits)
        plain = F.cross_entropy(logits, self.labels, reduction="none")
        targets = self.targets.clamp(min=0)
        if logits.shape[1] >= 4:
            pulled = dlr_targeted(logits, self.labels, targets)
        else:
            pulled = Difference(self.labels, targets)(answer)
        return torch.where(self.targets < 0, plain, pulled)


class GateLoss(Objective):
    """`(1 - w) L + w BCE(gamma, 1)`, to rise: the second term is large where the gate says "clean".

    Args:
        of: L.
        share: w in [0, 1], `[N]`.
        layer: whose output gamma is.
    """

    of: Objective
    share: Tensor
    layer: str

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """Objective of each image, `[N]`."""
        gamma = (answer.features or {})[self.layer]
        return (1 - self.share) * self.of(answer) + self.share * F.softplus(-gamma)


class GateState(PGDState):
    """State of PGD, with each sample's own number of steps, momentum and share of the gate."""

    velocity: Tensor
    limit: Tensor
    decay: Tensor
    share: Tensor


class GatePGD(PGD):
    """PGD on a model with a mixing network that knows of the gate: the adaptive attack.

    With `varied` each sample's strength is drawn, as in the mixing network's training: the number of steps from a
    chi-squared law of mean `steps`, steps of 5 eps / number, the momentum's decay below 0.9, the share below `share`.
    """

    share: float = Field(default=0.5, ge=0, le=1, description="w: weight of the gate's term; 0 is PGD")
    layer: str = Field(default="gate", description="name of the module whose output is gamma")
    varied: bool = Field(default=False, description="draw each sample's strength")

    @override
    def start(self, problem: Problem, rng: SampleRng) -> GateState:
        first = super().start(problem, rng)
        limit = torch.full_like(first.step, self.steps)
        decay = torch.zeros(len(limit), device=first.x.device)
        share = torch.full_like(decay, self.share)
        if self.varied:
            drawn = [g.chisquare(self.steps) for g in rng.fold("steps").generators()]
            limit = torch.tensor(drawn).round().clamp(min=1).long()
            decay = rng.fold("momentum").fresh(1, high=0.9)[:, 0].to(share)
            share = share * rng.fold("share").fresh(1)[:, 0].to(share)
        return GateState(problem, first.x, first.step, torch.zeros_like(first.x), limit, decay, share)

    @override
    def ask(self, state: PGDState) -> Gradient:
        of = choose_loss(state.problem, self.loss, self.temperature)
        return Gradient(state.x, of=GateLoss(of, _own(state).share, self.layer), layers=(self.layer,))

    @override
    def tell(self, state: PGDState, answer: Answer) -> GateState:
        own, ball = _own(state), state.problem.ball
        gradient = required(answer.gradient)
        size = gradient.abs().flatten(1).sum(1).clamp(min=1e-30)
        velocity = _wide(own.decay, gradient) * own.velocity + gradient / _wide(size, gradient)
        length = 5 / own.limit.to(gradient) * ball.eps if self.varied else self.step_length(ball).flatten()
        moved = ball.project(own.x + _wide(length, gradient) * ball.steepest(velocity, own.x))
        going = (own.step < own.limit).to(gradient.device)
        x = torch.where(_wide(going, gradient), moved, own.x)
        return own.replace(x=x, step=own.step + 1, velocity=velocity)

    @override
    def done(self, state: PGDState) -> Tensor:
        return state.step >= _own(state).limit


def _own(state: PGDState) -> GateState:
    if not isinstance(state, GateState):
        raise TypeError("not a state of this attack")
    return state


def _wide(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 1))
