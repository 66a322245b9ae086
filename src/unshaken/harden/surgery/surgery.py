"""Weight surgery: robustness as a small file that is added to weights, and taken off again.

`Signature` is the patch, `patch` adds several, `choose` looks for how many layers and how much of it; `extract`, `add`
and `subtract` do the same with files. `ablation` and `ablate` make the patch that takes units out.

Source: Cai et al. 2023, Robust Weight Signatures, arXiv:2302.12480; interpolation: Wortsman et al. 2022,
arXiv:2109.01903.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from unshaken.harden.engine.layers import Body, body_of
from unshaken.harden.surgery._arithmetic import (
    NormPolicy,
    Projection,
    Quantiser,
    Weights,
    checksum,
    coefficients,
    interpolate,
    norm_keys,
    orthogonal,
    quantised,
    re_estimate,
    relative_change,
)
from unshaken.harden.surgery._files import (
    SizeReport,
    ablate,
    add,
    extract,
    load_signature,
    save_signature,
    size_report,
    subtract,
)
from unshaken.harden.surgery._signature import Signature, SignatureMeta, ablation, matched_noise, patch

__all__ = [
    "Body",
    "Choice",
    "NormPolicy",
    "Projection",
    "Quantiser",
    "Signature",
    "SignatureMeta",
    "SizeReport",
    "Trial",
    "ablate",
    "ablation",
    "add",
    "best_trial",
    "body_of",
    "checksum",
    "choose",
    "coefficients",
    "extract",
    "interpolate",
    "load_signature",
    "matched_noise",
    "norm_keys",
    "orthogonal",
    "patch",
    "quantised",
    "re_estimate",
    "relative_change",
    "save_signature",
    "size_report",
    "subtract",
]


@dataclass(frozen=True, slots=True)
class Trial:
    """One patch that was tried.

    Args:
        layers: patched, from the input on.
        alpha: how much of the signature.
        clean: accuracy on clean images, in [0, 1].
        robust: accuracy on changed images, in [0, 1].
    """

    layers: int
    alpha: float
    clean: float
    robust: float


@dataclass(frozen=True, slots=True)
class Choice:
    """Result of a search over patches.

    Args:
        best: the trial of highest `robust` among those that lose less clean accuracy than allowed; None if none is.
        trials: all.
        base: without a patch (no layers, alpha 0).
    """

    best: Trial | None
    trials: tuple[Trial, ...]
    base: Trial


def choose(
    base: Weights,
    signature: Signature,
    score: Callable[[Weights], tuple[float, float]],
    *,
    layers: Iterable[int],
    alphas: Iterable[float] = (0.25, 0.5, 0.75, 1.0),
    most_lost: float = 0.05,
    unchecked: bool = False,
) -> Choice:
    """Try how many layers and how much of a signature to add, on images held out for this.

    Args:
        base: weights to patch.
        signature: of as many layers as the largest to try.
        score: gives clean and robust accuracy of weights.
        layers: numbers of layers to try.
        alphas: factors to try.
        most_lost: clean accuracy that a patch must lose less of than this, in [0, 1].
        unchecked: as in `patch`.
    """
    before = Trial(0, 0.0, *score(base))
    trials = []
    for k in layers:
        part = signature.first(k)
        trials += [Trial(k, a, *score(part.apply(base, a, unchecked=unchecked))) for a in alphas]
    return Choice(best_trial(before, trials, most_lost), tuple(trials), before)


def best_trial(base: Trial, trials: Iterable[Trial], most_lost: float, slack: float = 0.0) -> Trial | None:
    """The trial of highest robust accuracy among those that lose less clean accuracy than allowed; None without any.

    Of those that are within the slack of the highest, it is the one of fewest layers, of these the most robust. A slack
    of one standard error of the accuracy takes no layer for what chance alone would give it.

    Args:
        base: the weights without a patch.
        trials: patches.
        most_lost: clean accuracy that a patch must lose less of than this, in [0, 1].
        slack: robust accuracy that a smaller patch may be behind, in [0, 1].
    """
    allowed = [t for t in trials if round(base.clean - t.clean, 9) < most_lost]
    most = max((t.robust for t in allowed), default=0.0)
    near = [t for t in allowed if round(most - t.robust, 9) <= slack]
    return min(near, key=lambda t: (t.layers, -t.robust), default=None)
