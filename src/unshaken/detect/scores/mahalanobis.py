"""Mahalanobis distance to the nearest class, over one layer or several; covariances may be rank-deficient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from weakref import WeakKeyDictionary

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, FigureObjective, QueryGenerator
from unshaken.detect.engine.fit_data import FitData, Moments
from unshaken.detect.engine.forward_pass import ForwardPass, pool
from unshaken.detect.engine.layerwise import LayerwiseDetector, forward_on

RESOLUTION = 1e-6
"""A direction whose deviation is below this share of the features' size is constant: float32 rounds as coarsely."""

Around = Literal["within", "covariance"]
_known: WeakKeyDictionary[Moments, dict[Around, tuple[float, Tensor, Tensor]]] = WeakKeyDictionary()


def eigen(moments: Moments, around: Around) -> tuple[Tensor, Tensor]:
    """Variances and directions of a covariance: `Sigma = U diag(l) U^T`.

    It is worked out once for all detectors that are fitted on the same moments.

    Args:
        moments: of one layer.
        around: `within`, around the mean of the own class, or `covariance`, around that of all samples.

    Returns:
        l `[d]`, rising, not below 0, and U `[d, d]`.
    """
    found = _known.setdefault(moments, {})
    if around not in found or found[around][0] != moments.n:
        sigma = moments.within() if around == "within" else moments.covariance()
        values, vectors = torch.linalg.eigh(sigma)
        found[around] = (moments.n, values.clamp(min=0), vectors)
    return found[around][1:]


def whitening(variances: Tensor, directions: Tensor, size: Tensor) -> Tensor:
    """W with `W^T W` the pseudo-inverse of a covariance: `l^{-1/2} U^T` over the directions that vary.

    Args:
        variances: l, float64 `[d]`, rising.
        directions: U, `[d, d]`.
        size: of the features, a scalar, such as their largest mean; see `RESOLUTION`.

    Returns:
        `[r, d]`, r the rank of the covariance.

    Raises:
        DataError: all directions are constant.
    """
    varies = variances > (RESOLUTION * torch.maximum(size, variances[-1].sqrt())) ** 2
    if not bool(varies.any()):
        raise DataError("the features are constant, within the classes or altogether: no distance can be taken in them")
    scaled: Tensor = directions[:, varies] / variances[varies].sqrt()
    return scaled.T.contiguous()


def shrunk(variances: Tensor, share: float | Tensor) -> Tensor:
    """Variances of `(1 - s) Sigma + s tr(Sigma)/d I`, whose directions are those of Sigma.

    Args:
        variances: l, `[d]`.
        share: s in [0, 1]; 0 changes nothing.
    """
    return variances * (1 - share) + variances.mean() * share


def ledoit_wolf(variances: Tensor, fourth: Tensor, n: float) -> Tensor:
    """The share s of `shrunk` whose expected squared error is least.

    Ledoit & Wolf 2004, doi:10.1016/S0047-259X(03)00096-4.

    Args:
        variances: `[d]`, of a covariance of deviations x from a known mean, divided by n.
        fourth: the mean of `|x|^4`, a scalar.
        n: samples behind it.

    Returns:
        A scalar in [0, 1].
    """
    squares, d = (variances**2).sum(), len(variances)
    away = (squares - variances.sum() ** 2 / d) / d
    if not bool(away > 0):
        return torch.zeros_like(away)
    return torch.minimum(((fourth - squares) / (n * d)).clamp(min=0), away) / away


def squared_distances(features: Tensor, whiten: Tensor, origin: Tensor, centres: Tensor) -> Tensor:
    """`d_c^2 = (f - mu_c)^T Sigma^+ (f - mu_c)` to every centre.

    Args:
        features: f, `[N, d]`.
        whiten: W, `[r, d]`, see `whitening`.
        origin: o, `[d]`, near the features, so that nothing cancels.
        centres: `W (mu_c - o)`, `[K, r]`.

    Returns:
        Float64 `[N, K]`.
    """
    g = (features.double() - origin) @ whiten.T
    squares = (g * g).sum(1, keepdim=True) - 2 * g @ centres.T + (centres * centres).sum(1)
    return squares.clamp(min=0)


LARGEST = 2**27
"""Numbers that covariances of single classes may take (1 GiB)."""


@register("mahalanobis", reference="Lee et al. 2018, arXiv:1807.03888", needs=("features",))
class Mahalanobis(LayerwiseDetector):
    """Mahalanobis distance of the features to the nearest class mean, for one or several layers.

    Sigma is the covariance within the classes, divided by N, and inverted over the directions in which features vary.
    With `eps` each layer first moves the image towards the class that is nearest there, `x' = x - eps sign(grad_x d^2)`
    (sign(0) counts as 1, nothing is clipped), which draws normal images closer than others; that costs a backward and
    a forward pass a layer. It is no defence: who knows of it can attack it.
    """

    labelled = True

    eps: NonNegativeFloat = Field(
        default=0.0, description="step towards the nearest class in [0, 1] pixel units; 0 for none"
    )
    covariance: Literal["tied", "class"] = Field(default="tied", description="one for all classes, or one for each")
    shrinkage: Literal["ledoit-wolf"] | Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="share of the covariance replaced by its mean variance (of a class: by the tied), or ledoit-wolf",
    )

    @override
    def moments(self, anatomy: Anatomy) -> tuple[str, ...]:
        return self.layers(anatomy)

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        if self.covariance == "tied" and self.shrinkage != "ledoit-wolf":
            return {}
        return {f"pooled/{name}": forward.pooled(name) for name in self.layers(forward.anatomy)}

    @override
    def layer_bank(self, fit_data: FitData) -> Bank:
        """Whitening, origin and whitened class means of each layer; with `covariance=class` another whitening a class.

        Raises:
            ParameterError: Ledoit-Wolf shrinkage is asked for single classes.
            DataError: features are constant, or a class has too few samples for a covariance of its own.
        """
        if self.covariance == "class" and self.shrinkage == "ledoit-wolf":
            raise ParameterError(
                "mahalanobis: ledoit-wolf shrinks the tied covariance; with covariance=class give a share"
            )
        bank: Bank = {}
        for number, name in enumerate(self.layers(fit_data.anatomy)):
            moments = fit_data.moments[name]
            share: float | Tensor = 0.0 if self.covariance == "class" else self._share(fit_data, name)
            found = class_gaussian(moments, share)
            if self.covariance == "class":
                found["classes"] = self._own(fit_data, name, found)
            bank |= {f"{number}.{key}": value for key, value in found.items()}
        return bank

    @override
    def layer_scores(self, forward: ForwardPass, bank: Bank) -> Tensor | QueryGenerator[Tensor]:
        if self.eps > 0:
            return self._scores_after_step(forward, bank)
        names = self.layers(forward.anatomy)
        return torch.stack([self._distances(forward.pooled(n), bank, i).amin(1) for i, n in enumerate(names)], 1)

    def nearest(self, forward: ForwardPass, bank: Bank) -> Tensor:
        """The class whose mean is nearest in each layer, int64 `[N, L]`: a classifier of its own."""
        names = self.layers(forward.anatomy)
        found = [self._distances(forward.pooled(n), bank, i).argmin(1) for i, n in enumerate(names)]
        return torch.stack([bank[f"{i}.present"][f] for i, f in enumerate(found)], 1)

    def _scores_after_step(self, forward: ForwardPass, bank: Bank) -> QueryGenerator[Tensor]:
        found = []
        for number, name in enumerate(self.layers(forward.anatomy)):
            nearest = self._distances(forward.pooled(name), bank, number).argmin(1)

            def figure(answer: Answer, classes: Tensor, name: str = name, number: int = number) -> Tensor:
                features = pool((answer.features or {})[name], name)
                return self._distances(features, bank, number).gather(1, classes[:, None])[:, 0]

            answer = yield Gradient(forward.pixels, of=FigureObjective(figure, nearest), layers=(name,))
            step = torch.where(required(answer.gradient) >= 0, self.eps, -self.eps)
            moved = yield from forward_on(forward, forward.pixels - step.to(forward.pixels), (name,))
            found.append(self._distances(moved.pooled(name), bank, number).amin(1))
        return torch.stack(found, 1)

    def _distances(self, features: Tensor, bank: Bank, number: int) -> Tensor:
        """Squared distances `[N, K]` in one layer."""
        whiten, origin, centres = (bank[f"{number}.{key}"] for key in ("whiten", "origin", "centres"))
        if self.covariance == "tied":
            return squared_distances(features, whiten, origin, centres)
        away = ((features.double() - origin) @ whiten.T)[:, None] - centres
        return torch.einsum("nkr,ksr->nks", away, bank[f"{number}.classes"]).square().sum(2)

    def _share(self, fit_data: FitData, name: str) -> float | Tensor:
        """Share of the tied covariance that shrinkage replaces."""
        if self.shrinkage != "ledoit-wolf":
            return self.shrinkage
        moments = fit_data.moments[name]
        away = fit_data.rows[f"pooled/{name}"].double() - moments.means()[fit_data.rows["labels"]]
        return ledoit_wolf(eigen(moments, "within")[0], (away**2).sum(1).square().mean(), moments.n)

    def _own(self, fit_data: FitData, name: str, tied: Bank) -> Tensor:
        """Whitening of each class on top of the tied one, `[K, r, r]`, from the samples kept."""
        share = float(self.shrinkage)
        present, labels, r = tied["present"], fit_data.rows["labels"], len(tied["whiten"])
        if len(present) * r * r > LARGEST:
            raise DataError(
                f"mahalanobis: {len(present)} covariances of {r} x {r} take more than 1 GiB: use covariance=tied"
            )
        white = (fit_data.rows[f"pooled/{name}"].double() - tied["origin"]) @ tied["whiten"].T
        found = []
        for number, label in enumerate(present.tolist()):
            away = white[labels == label] - tied["centres"][number]
            if share == 0 and len(away) <= r:
                raise DataError(
                    f"mahalanobis: class {label} has {len(away)} samples for a covariance in {r} directions of layer "
                    f"{name!r}: give more data, a shrinkage above 0, or covariance=tied"
                )
            spread = away.T @ away / max(1, len(away))
            values, vectors = torch.linalg.eigh(spread * (1 - share) + torch.eye(r).to(spread) * share)
            found.append((vectors / values.clamp(min=1e-9).sqrt()).T)
        return torch.stack(found)


def class_gaussian(moments: Moments, share: float | Tensor = 0.0) -> Bank:
    """Class means and the covariance within the classes, ready for `squared_distances`.

    Args:
        moments: of one layer.
        share: see `shrunk`.

    Returns:
        `whiten` `[r, d]`, `origin` `[d]`, `present`, the K' classes that have samples, and their `centres` `[K', r]`.

    Raises:
        DataError: the features are constant within the classes.
    """
    origin, present = moments.mean(), (moments.counts > 0).nonzero()[:, 0]
    means = moments.means()[present]
    variances, directions = eigen(moments, "within")
    whiten = whitening(shrunk(variances, share), directions, means.abs().max())
    return {"whiten": whiten, "origin": origin, "present": present, "centres": (means - origin) @ whiten.T}
