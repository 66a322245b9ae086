"""`PrototypeHead`: classes as directions on a sphere, added and removed without training."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, StrictStr
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import DataError, ModelError, ParameterError, did_you_mean
from unshaken.models.loaders.weights import first_line, refuse_disguised
from unshaken.store.run_dir import RunDir

FORMAT = "unshaken-prototypes-1"
UNKNOWN = -1
"""The prediction of what is near no class."""
SHORTEST = 1e-9
"""Length of a sum of unit vectors below which they cancel out."""
_BLOCK = 64
"""Classes of one product: a class that is added changes a column of zeros, and no bit of the other columns."""


class PrototypeHead:
    """A classifier of features by their cosine with one direction a class: `logits = s cos(h, w_c)`.

    A class is the mean of its examples' unit vectors, brought to length 1. The head keeps sums and counts, so that
    examples may come in batches and in any order.

    Args:
        features: numbers D of a feature.
        scale: s, by which cosines are multiplied.

    >>> head = PrototypeHead(2)
    >>> head.add_class("corner", torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    >>> [round(x, 4) for x in head.prototypes[0].tolist()]
    [0.7071, 0.7071]
    """

    def __init__(self, features: int, scale: float = 10.0) -> None:
        if not 0 < scale < math.inf:
            raise ParameterError(f"scale must be above 0 and finite, not {scale}: 10 is usual")
        self.scale = float(scale)
        self._names: list[str] = []
        self._sums = torch.zeros(0, features, dtype=torch.float64)
        self._counts: list[int] = []

    @classmethod
    def of(cls, weight: Tensor, names: Sequence[str], scale: float = 10.0) -> PrototypeHead:
        """A head whose classes are the rows of a trained linear layer: the joint scenario begins with it.

        Args:
            weight: `[K, D]`; only directions count.
            names: of the K classes.
            scale: as in the constructor.

        Raises:
            ModelError: a row is zero or not finite.
            ParameterError: there are not K different names.
        """
        if len(names) != len(weight) or len({*names}) != len(names):
            raise ParameterError(f"{len(weight)} classes need as many different names, not {len({*names})}")
        rows = F.normalize(weight.detach().cpu().double(), dim=1, eps=1e-30)
        if not bool(((rows.norm(dim=1) - 1).abs() < 1e-6).all()):
            raise ModelError("a class weight is zero or not finite and has no direction: train the layer first")
        head = cls(weight.shape[1], scale)
        head._names, head._sums, head._counts = list(names), rows, [0] * len(names)
        return head

    @classmethod
    def restore(cls, names: list[str], sums: Tensor, counts: list[int], scale: float) -> PrototypeHead:
        """A head as it was: names, sums of unit vectors float64 `[C, D]` and counts of its classes, checked before."""
        head = cls(sums.shape[1], scale)
        head._names, head._sums, head._counts = names, sums, counts
        return head

    def __len__(self) -> int:
        return len(self._names)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the logits, which is that of their addition."""
        return tuple(self._names)

    @property
    def counts(self) -> tuple[int, ...]:
        """Examples of each class; 0 for a row of a trained layer."""
        return tuple(self._counts)

    @property
    def prototypes(self) -> Tensor:
        """The directions of the classes, float32 `[C, D]` of length 1."""
        return F.normalize(self._sums, dim=1, eps=1e-30).float()

    def add_class(self, name: str, features: Tensor) -> None:
        """Add a class by its examples, as the last one.

        Args:
            name: not among the classes yet.
            features: of its examples, `[n, D]`, one at least, of any length.

        Raises:
            ParameterError: the name is there already.
            DataError: features do not fit, are not finite, or cancel out, so that there is no direction.
        """
        if name in self._names:
            raise ParameterError(f"class {name!r} is there already: call extend_class, or remove_class first")
        total = self._total(name, features)
        _has_direction(name, total)
        self._names.append(name)
        self._counts.append(len(features))
        self._sums = torch.cat([self._sums, total[None]])

    def extend_class(self, name: str, features: Tensor) -> None:
        """Add examples to a class that was added before; arguments and errors as for `add_class`.

        Raises:
            ParameterError: there is no such class, or it is a row of a trained layer, which is no mean.
        """
        row = self._row(name)
        if not self._counts[row]:
            raise ParameterError(f"class {name!r} is a trained weight, not a mean of examples: add it by another name")
        total = self._sums[row] + self._total(name, features)
        _has_direction(name, total)
        self._sums = self._sums.index_copy(0, torch.tensor([row]), total[None])
        self._counts[row] += len(features)

    def remove_class(self, name: str) -> None:
        """Take a class out; those behind it move up.

        Raises:
            ParameterError: there is no such class.
        """
        row = self._row(name)
        keep = [i for i in range(len(self)) if i != row]
        self._sums = self._sums[keep]
        del self._names[row], self._counts[row]

    def cosines(self, features: Tensor) -> Tensor:
        """Cosines with each class, `[N, C]`; those of the other classes keep every bit when a class is added.

        Args:
            features: h `[N, D]`, of any length; computed in float32.

        Raises:
            DataError: features do not fit or are not finite.
            ParameterError: there is no class.
        """
        if not len(self):
            raise ParameterError("the head has no class: call add_class with examples first")
        self._check("features", features)
        unit = F.normalize(features.float(), dim=1, eps=1e-12)
        weight = F.pad(self.prototypes.to(unit.device), (0, 0, 0, -len(self) % _BLOCK))
        return torch.cat([unit @ block.T for block in torch.split(weight, _BLOCK)], 1)[:, : len(self)]

    def logits(self, features: Tensor, *, lowered: Sequence[str] = (), by: float = 0.0) -> Tensor:
        """`s cos(h, w_c)`, `[N, C]`; their softmax gives probabilities.

        Args:
            features: h `[N, D]`.
            lowered: classes whose logits are lowered, such as those of training, which are favoured over new ones.
            by: how much, in units of the logits (calibrated stacking).
        """
        logits = self.scale * self.cosines(features)
        rows = [self._row(name) for name in lowered]
        if rows:
            logits[:, rows] -= by
        return logits

    def predict(self, features: Tensor, *, among: Sequence[str] | None = None, least: float | None = None) -> Tensor:
        """The place in `classes` of the nearest class, int64 `[N]`.

        Args:
            features: h `[N, D]`.
            among: classes that compete (the disjoint scenario); None for all.
            least: smallest cosine of a known class; below it the answer is `UNKNOWN`. See `threshold`.
        """
        rows = torch.tensor(range(len(self)) if among is None else [self._row(name) for name in among])
        best = self.cosines(features)[:, rows].max(1)
        found = rows.to(best.indices.device)[best.indices]
        return found if least is None else torch.where(best.values < least, UNKNOWN, found)

    def threshold(self, features: Tensor, accept: float = 0.95) -> float:
        """The largest cosine with which at least a share of these examples is accepted as known.

        Args:
            features: of known classes, `[N, D]`, none of those that the prototypes were made of.
            accept: share, in (0, 1].

        Raises:
            ParameterError: the share is out of range.
        """
        if not 0 < accept <= 1:
            raise ParameterError(f"accept must be a share above 0 and at most 1, not {accept}")
        best = self.cosines(features).max(1).values.sort().values
        return float(best[len(best) - math.ceil(accept * len(best) - 1e-9)])

    def save(self, path: Path | str) -> None:
        """Write the head as one safetensors file, whole or not at all; `load_head` reads it."""
        about = {"format": FORMAT, "classes": json.dumps(self._names), "scale": json.dumps(self.scale)}
        tensors = {"sums": self._sums.contiguous(), "counts": torch.tensor(self._counts, dtype=torch.int64)}
        target = Path(path)
        RunDir(target.parent).write(save_tensors(tensors, about), target.name)

    def _total(self, name: str, features: Tensor) -> Tensor:
        self._check(f"examples of class {name!r}", features)
        return F.normalize(features.detach().cpu().double(), dim=1, eps=1e-30).sum(0)

    def _check(self, what: str, features: Tensor) -> None:
        width = self._sums.shape[1]
        if features.ndim != 2 or features.shape[1] != width or not len(features):
            raise DataError(f"{what} must be [N, {width}] with N at least 1, not {tuple(features.shape)}")
        if not bool(features.isfinite().all()):
            raise DataError(f"{what} hold values that are no finite numbers")

    def _row(self, name: str) -> int:
        if name not in self._names:
            raise ParameterError(f"no class {name!r}; {did_you_mean(name, self._names)}")
        return self._names.index(name)


def _has_direction(name: str, total: Tensor) -> None:
    if float(total.norm()) < SHORTEST:
        raise DataError(
            f"the examples of class {name!r} are zero or cancel out and have no mean direction: give others"
        )


class _Classes(BaseModel):
    """Names and scale in a file of prototypes."""

    classes: list[StrictStr]
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]


def load_head(path: Path | str) -> PrototypeHead:
    """Read a head that `PrototypeHead.save` wrote; classes keep their order.

    Raises:
        ModelError: the file is absent, damaged, or holds something else.
    """
    refuse_disguised(Path(path))
    try:
        with safe_open(str(path), "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a complete safetensors file ({first_line(error)}): get it again") from None
    if about.get("format") != FORMAT or set(tensors) != {"sums", "counts"}:
        raise ModelError(f"{path} holds no prototypes: write them by PrototypeHead.save")
    try:
        known = _Classes.model_validate({key: json.loads(about.get(key, "")) for key in ("classes", "scale")})
    except ValueError:  # pydantic's and json's errors
        raise ModelError(f"{path} is damaged: its names of classes or its scale cannot be read") from None
    sums, counts, names = tensors["sums"], tensors["counts"], list(known.classes)
    shaped = sums.ndim == 2 and sums.is_floating_point() and counts.shape == sums.shape[:1] == (len(names),)
    counted = shaped and not counts.is_floating_point() and bool((counts >= 0).all())
    if not counted or len({*names}) != len(names) or not bool(sums.isfinite().all()):
        raise ModelError(f"{path} is damaged: its names, sums and counts do not fit each other")
    if not bool((widen(sums).norm(dim=1) >= SHORTEST).all()):
        raise ModelError(f"{path} is damaged: a class of it has no direction")
    return PrototypeHead.restore(names, widen(sums), counts.tolist(), known.scale)
