"""RankFeat: energy without the strongest direction of each sample's last feature maps."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.energy import energy


def first_direction(gram: Tensor) -> Tensor:
    """The eigenvector of the largest eigenvalue; its gradient is that of first-order perturbation theory.

    That of `eigh` is not finite where other eigenvalues are equal, as those of empty directions are.

    Args:
        gram: G, symmetric, no negative eigenvalue, float64 `[N, m, m]`.

    Returns:
        u of length 1, `[N, m]`; either of u and -u.
    """
    values, vectors = torch.linalg.eigh(gram.detach())  # rising
    others: Tensor = vectors[:, :, :-1]
    u: Tensor = vectors[:, :, -1]
    gap = values[:, -1:] - values[:, :-1]
    inverse = torch.where(gap > 0, 1 / torch.where(gap > 0, gap, 1), 0)
    away = torch.einsum("nij,nj->ni", gram, u) - values[:, -1:] * u  # 0 but for its gradient
    slope: Tensor = torch.einsum("nik,nk,njk,nj->ni", others, inverse, others, away)
    return u + slope


def without_first_rank(maps: Tensor) -> Tensor:
    """Average over places of `X - s_1 u_1 v_1^T`, the maps without their largest singular component.

    With `s_1 v_1^T = u_1^T X` the average is `m - u_1 (u_1 . m)`, where m is that of X; where there are fewer places
    than channels it is `m - X v_1 mean(v_1)`. So only the smaller of `X X^T` and `X^T X` is decomposed.

    Args:
        maps: X, `[N, C, P]` for C channels at P places.

    Returns:
        float64 `[N, C]`.
    """
    x = maps.double()
    mean = x.mean(2)
    if x.shape[1] <= x.shape[2]:
        u = first_direction(x @ x.mT)
        return mean - u * (u * mean).sum(1, keepdim=True)
    v = first_direction(x.mT @ x)
    return mean - torch.einsum("ncp,np->nc", x, v) * v.mean(1, keepdim=True)


@register("rankfeat", reference="Song et al. 2022, arXiv:2209.08590", needs=("features",), title="RankFeat")
class RankFeat(Detector):
    """RankFeat: energy score after removing the largest singular component of the last feature maps.

    Of the publication's variants it is the one of the last block, which needs no second pass.
    """

    not_exported: ClassVar[str] = "singular vectors of feature maps are no operation of ONNX"

    @override
    def layers(self, anatomy: Anatomy) -> tuple[str, ...]:
        return (_maps(anatomy),)

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        values = forward.values(_maps(forward.anatomy))
        values = values.relu() if forward.anatomy.rectified else values
        maps = values.flatten(2) if values.ndim == 4 else values.mT
        return energy(forward.anatomy.read_out(without_first_rank(maps)))


def _maps(anatomy: Anatomy) -> str:
    if anatomy.maps is None:
        raise ModelError(
            f"rankfeat: no layer of model {anatomy.name!r} has maps whose average its head weighs: "
            "use react, ash or scale, which need its input alone"
        )
    return anatomy.maps
