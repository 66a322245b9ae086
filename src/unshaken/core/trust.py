"""Trust checks: reasons to doubt a classifier's answers, found on its first batch. One function a doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from scipy import special
from torch import Tensor, nn

from unshaken.core.batch import Batch
from unshaken.core.classifier import INPUT, Classifier, predict
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Features

TRAIN_MODE = FlagKind(
    "train-mode",
    "the model came in training mode",
    "Call .eval() where the model is built, and check figures of your own that were taken before.",
)
PROBABILITIES = FlagKind(
    "probabilities",
    "the model gives probabilities, not logits",
    "Remove the last softmax, or return its logarithm; then run again.",
)
RANDOMNESS = FlagKind(
    "randomness",
    "the same image gets different answers",
    "Make the model deterministic, or average gradients over draws; figures may differ between runs.",
)
NON_FINITE = FlagKind(
    "non-finite",
    "the model gives NaN or infinite values",
    "Look for divisions and logarithms of zero, and run with --precision fp32.",
)
NOT_FINITE = "the model gives NaN or infinite values for it"
"""Why a sample is left out where its outputs are what is used."""
NORMALISATION = FlagKind(
    "normalisation",
    "the images reach the network on another scale than it was trained on",
    "Say mean and std in one place only: in the model, or as options of its SPEC.",
)
LABELS_ONLY = FlagKind(
    "labels-only",
    "the model gives labels and no scores",
    "Read accuracies alone; confidence, calibration and losses say nothing here.",
)
DYNAMIC = FlagKind(
    "dynamic",
    "the model calls autograd inside its forward pass",
    "Treat figures of gradient attacks as doubtful; compare them with square and hop-skip-jump.",
)

Check = Callable[[Oracle, Batch, Tensor], Iterator[Flag]]
_checks: list[Check] = []


def check_trust(oracle: Oracle, batch: Batch, logits: Tensor) -> list[Flag]:
    """Check a model on a first batch, and return all flags.

    Args:
        oracle: runs the model and counts its passes, in evaluation mode.
        batch: the first samples.
        logits: of these, `[N, K]`.
    """
    return [flag for check in _checks for flag in check(oracle, batch, logits)]


def check_mode(model: nn.Module) -> list[Flag]:
    """Flag a model that was passed in training mode; call this before anything changes the mode."""
    named = {type(m).__name__ for m in model.modules() if m.training and _minds_mode(m)}
    if not named:
        return []
    detail = f"the model came in training mode ({', '.join(sorted(named))}); it was evaluated in evaluation mode"
    return [TRAIN_MODE.flag(f"{detail}: call .eval() where you build it")]


def _minds_mode(module: nn.Module) -> bool:
    """Whether a layer may behave otherwise in training: norms, dropout, and leaves that are not torch's own."""
    own = type(module).__module__.startswith("torch.nn")
    known = isinstance(module, nn.modules.batchnorm._NormBase | nn.modules.dropout._DropoutNd)
    return known or (not own and not list(module.children()) and not isinstance(module, Classifier))


def _check(function: Check) -> Check:
    _checks.append(function)
    return function


@_check
def probabilities(oracle: Oracle, batch: Batch, logits: Tensor) -> Iterator[Flag]:
    """All outputs in [0, 1] and every row summing to 1 within 1e-5, or labels in the place of outputs."""
    if oracle.model.labels_only:
        text = "the model gives labels only, which count as 1 for the class and 0 for the others"
        yield LABELS_ONLY.flag(f"{text}: read accuracies alone, not confidence or calibration")
        return
    if bool(((logits >= 0) & (logits <= 1)).all()) and bool(((logits.sum(1) - 1).abs() < 1e-5).all()):
        text = "outputs lie in [0, 1] and sum to 1: they look like probabilities; a softmax inside the model"
        yield PROBABILITIES.flag(f"{text} weakens gradient attacks and flattens confidence: return logits")


@_check
def randomness(oracle: Oracle, batch: Batch, logits: Tensor) -> Iterator[Flag]:
    """Five passes on one batch whose logits differ by more than 1e-4, normalised."""
    few = batch[slice(0, 16)]
    gap = answer_gap(oracle, few.images)
    if gap > 1e-4:
        text = f"five passes over the same {len(few)} images differ by up to {gap:.2g} in normalised logits"
        yield RANDOMNESS.flag(f"{text}: attack with --eot 20 or more, and compare with care")


@_check
def dynamic(oracle: Oracle, batch: Batch, logits: Tensor) -> Iterator[Flag]:
    """Tensors saved for a backward pass during a call made without gradients: the model takes some of its own."""
    saved: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        saved.append(1)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        oracle.exact(batch.images[:2])
    if saved:
        text = "the model takes gradients inside its forward pass: it optimises while it answers"
        yield DYNAMIC.flag(f"{text}; attacks may see other gradients than it uses: compare with square")


def answer_gap(oracle: Oracle, images: Tensor) -> float:
    """The largest l2 distance between l2-normalised logits of the same image, over five passes.

    Args:
        oracle: runs the model and counts its passes, in evaluation mode.
        images: `[N, C, H, W]`.
    """
    passes = torch.stack([oracle.exact(images) for _ in range(5)])
    unit = passes / passes.norm(dim=2, keepdim=True).clamp_min(1e-12)
    return float((unit - unit[:1]).norm(dim=2).max())


@_check
def non_finite(oracle: Oracle, batch: Batch, logits: Tensor) -> Iterator[Flag]:
    """NaN or infinity in the logits."""
    bad = (~logits.isfinite().all(1)).nonzero().flatten().tolist()
    if bad:
        ids = tuple(batch.ids[i] for i in bad)
        yield NON_FINITE.flag(f"{len(bad)} of the first {len(batch)} samples get NaN or infinite logits", ids)


@_check
def normalisation(oracle: Oracle, batch: Batch, logits: Tensor) -> Iterator[Flag]:
    """Flag wrong input normalisation: other statistics than in training, or better accuracy on rescaled input."""
    if oracle.model.remote:  # no query is spent on images outside [0, 1], which a server may refuse
        return
    ratio = _spread_ratio(oracle, batch)
    if ratio is not None:
        if not 1 / SPREAD < ratio < SPREAD:
            how = "wider" if ratio > 1 else "narrower"
            text = f"the input of the first batch norm is {ratio:.2g} times as spread (variance) as in training, {how}"
            yield NORMALISATION.flag(f"{text}: check mean and std, and that they are applied once")
        return
    yield from _rescaled(oracle, batch, logits)


SPREAD = 2.5
"""Variance ratio at the first batch norm, either way, from which the scale is doubted."""

RESCALINGS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mean 0.5 and std 0.5": ((0.5,), (0.5,)),
}
"""Normalisations in common use, tried where a network has no batch norm to compare with."""
MOST_NUMBERS, FEWEST = 2**26, 10
"""Numbers of all images that are rescaled at once, and the images that a sign test at 0.001 needs."""


def _spread_ratio(oracle: Oracle, batch: Batch) -> float | None:
    """Median over channels of the variance at the first batch norm over its running variance."""
    norms = ((name, m) for name, m in oracle.model.net.named_modules() if isinstance(m, nn.BatchNorm2d))
    name, layer = next(((name, m) for name, m in norms if m.running_var is not None), ("", None))
    if layer is None or layer.running_var is None:
        return None
    now = _variance_before(oracle.share_meter(precision="fp32", draws=1), name, batch.images[:64].float())
    alive = layer.running_var > 1e-6
    return float((now[alive] / layer.running_var[alive]).median()) if bool(alive.any()) else None


def _variance_before(oracle: Oracle, layer: str, images: Tensor) -> Tensor:
    """Variance of each channel of a layer's input, `[C]`; what a few images make of it is in memory at once."""
    means, variances, numbers = list[Tensor](), list[Tensor](), list[int]()
    for piece in torch.split(images, 8):
        given = (oracle.ask(Features(piece, (layer + INPUT,))).features or {})[layer + INPUT].float()
        means.append(given.mean((0, 2, 3)))
        variances.append(given.var((0, 2, 3), correction=0))
        numbers.append(len(piece))
    share = (torch.tensor(numbers) / len(images)).to(images.device)[:, None]
    mean, variance = torch.stack(means), torch.stack(variances)
    return (share * (variance + (mean - (share * mean).sum(0)).square())).sum(0)


def _rescaled(oracle: Oracle, batch: Batch, logits: Tensor) -> Iterator[Flag]:
    """Whether images rescaled as if another normalisation were meant are answered better, by an exact sign test."""
    model = oracle.model
    if batch.labels is None:
        return
    most = MOST_NUMBERS // max(1, batch.images[0].numel())
    if most < FEWEST:
        return
    few = batch[slice(0, min(256, most))]
    labels = required(few.labels)
    right = predict(logits[: len(few)]) == labels
    for name, (mean, std) in RESCALINGS.items():
        if len(mean) not in (1, few.images.shape[1]):
            continue
        m, s = (few.images.new_tensor(v).view(-1, 1, 1) for v in (mean, std))
        # What the network would see under this normalisation, expressed in the units that the model takes.
        tries = {f"under {name}": (few.images - m) / s, f"with {name} taken back": few.images * s + m}
        if model.mean is not None and model.std is not None:
            tries = {f"under {name}": (few.images - m) / s * model.std + model.mean}
        for how, images in tries.items():
            other = predict(oracle.exact(images)) == labels
            gained, lost = int((other & ~right).sum()), int((right & ~other).sum())
            if gained > lost and special.bdtr(lost, gained + lost, 0.5) < 1e-3:
                text = (
                    f"{how} the model is right on {int(other.sum())} of {len(few)} samples, else on {int(right.sum())}"
                )
                yield NORMALISATION.flag(f"{text}: check mean and std, and that they are applied once")
                return
