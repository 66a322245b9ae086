"""Data that detectors are fitted on: moments of features, and a bounded random set of samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.core.rng import SampleRng
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.forward_pass import ForwardPass


class Moments:
    """First and second moments of features by class, summed in float64 as samples come by.

    Values are shifted by the mean of the first batch before they are squared, so that nothing cancels.

    Args:
        classes: K.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._shift: Tensor | None = None

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Add the sums of further samples.

        Args:
            features: `[N, d]`.
            labels: int64 `[N]`, 0 to K-1.
        """
        x = features.double()
        if self._shift is None:
            self._shift = x.mean(0)
            d = x.shape[1]
            self.counts = torch.zeros(self.classes, dtype=torch.float64, device=x.device)
            self._sums = torch.zeros(self.classes, d, dtype=torch.float64, device=x.device)
            self._squares = torch.zeros(d, d, dtype=torch.float64, device=x.device)
        x = x - self._shift
        self.counts += torch.bincount(labels, minlength=self.classes)
        self._sums.index_add_(0, labels, x)
        self._squares.addmm_(x.T, x)

    @property
    def shift(self) -> Tensor:
        """Offset that is subtracted before squaring, `[d]`.

        Raises:
            DataError: no sample came by.
        """
        if self._shift is None:
            raise DataError("no sample to fit on: the data is empty, or none of it can be read")
        return self._shift

    @property
    def n(self) -> float:
        """Number of samples."""
        return float(self.counts.sum()) if self._shift is not None else 0.0

    def mean(self) -> Tensor:
        """Mean of all samples, `[d]`."""
        return self.shift + self._sums.sum(0) / self.n

    def means(self) -> Tensor:
        """Mean of each class, `[K, d]`; NaN for a class without samples."""
        return self.shift + self._sums / self.counts[:, None]

    def second(self, origin: Tensor) -> Tensor:
        """`E[(f - o)(f - o)^T]`, `[d, d]`.

        Args:
            origin: o, `[d]`.
        """
        m, away = self._sums.sum(0) / self.n, self.shift - origin.double()
        return self._squares / self.n + torch.outer(m, away) + torch.outer(away, m) + torch.outer(away, away)

    def covariance(self) -> Tensor:
        """Covariance of all samples around their mean, divided by N, `[d, d]`."""
        return self.second(self.mean())

    def within(self) -> Tensor:
        """Covariance of all samples around the mean of their own class, divided by N, `[d, d]`."""
        some = self.counts > 0
        m = self._sums[some]
        return (self._squares - m.T @ (m / self.counts[some, None])) / self.n


class Reservoir:
    """A random set of samples of bounded size, chosen by their ids alone.

    Args:
        size: samples at most.
    """

    def __init__(self, size: int) -> None:
        self.size, self.offered = size, 0
        self._keys: list[Tensor] = []
        self._rows: list[dict[str, Tensor]] = []

    def add(self, rows: Mapping[str, Tensor], rng: SampleRng) -> None:
        """Add further samples.

        Args:
            rows: name to `[N, ...]`.
            rng: the samples' streams.
        """
        self.offered += len(rng)
        self._keys.append(rng.fold("reservoir").fresh(1)[:, 0])
        self._rows.append({k: v.detach() for k, v in rows.items()})
        if sum(len(k) for k in self._keys) > 2 * self.size:
            self._prune()

    def rows(self) -> dict[str, Tensor]:
        """The samples kept, in an order that hangs on their ids alone."""
        if not self._rows:
            return {}
        self._prune()
        return self._rows[0]

    def _prune(self) -> None:
        keys = torch.cat(self._keys)
        chosen = keys.argsort(stable=True)[: self.size]
        self._keys = [keys[chosen]]
        self._rows = [{k: torch.cat([r[k] for r in self._rows])[chosen] for k in self._rows[0]}]


@dataclass(frozen=True, eq=False)
class FitData:
    """Data that detectors are fitted on.

    Args:
        anatomy: of the model.
        moments: layer to the moments of its pooled values, of all samples.
        rows: name to `[M, ...]`, of the samples kept; `labels` among them where the data has labels.
        tune: held-out samples with their images, for temperatures, weights and scales; never those of the bank.
        n: samples seen in all.
        names: of the classes, in order; empty where nobody knows them.
    """

    anatomy: Anatomy
    moments: Mapping[str, Moments] = field(default_factory=dict)
    rows: Mapping[str, Tensor] = field(default_factory=dict)
    tune: ForwardPass | None = None
    n: int = 0
    names: tuple[str, ...] = ()

    @property
    def held_out(self) -> ForwardPass:
        """Held-out samples to set scales on.

        Raises:
            DataError: there are none.
        """
        if self.tune is None or not len(self.tune):
            raise DataError("no held-out samples to set scales on: the data is too small, give 100 samples or more")
        return self.tune
