"""The largest radius that n votes can certify, checked before any vote is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import log_ndtr, ndtri

from unshaken.core.errors import ParameterError

_MOST = 10**9


def reach(sigma: float, n: int, alpha: float) -> float:
    """The largest l2 radius that n votes certify, all being for one class: `sigma Phi^-1(alpha^(1/n))`.

    Args:
        sigma: deviation of the noise, in [0, 1] pixel units.
        n: fresh votes.
        alpha: failure probability.

    >>> round(reach(0.25, 100_000, 0.001), 4)
    0.9529
    """
    return float(sigma * ndtri(alpha ** (1 / n)))


def votes_for(radius: float, sigma: float, alpha: float) -> int:
    """The fewest votes, all for one class, that certify an l2 radius: `log(alpha) / log(Phi(r/sigma))`.

    >>> votes_for(1.5, 0.5, 0.001)
    5114
    """
    needed = math.log(alpha) / float(log_ndtr(radius / sigma))
    return _MOST + 1 if needed > _MOST else math.floor(needed) + 1


def check_reach(name: str, radii: Sequence[float], *, sigma: float, n: int, alpha: float) -> None:
    """Refuse a run whose votes cannot reach a radius that is asked for.

    Raises:
        ParameterError: with the n, or the sigma, that would do.
    """
    best = reach(sigma, n, alpha)
    farthest = max(radii, default=0.0)
    if best > farthest:
        return
    needed = votes_for(farthest, sigma, alpha)
    message = f"{name}: n={n} votes at alpha={alpha:g} and sigma={sigma:g}"
    if best <= 0:
        raise ParameterError(f"{message} certify nothing, even when all agree: give n={needed} or more")
    way = (
        f"n={needed} or more, or a larger sigma"
        if needed <= _MOST
        else f"a larger sigma, such as {_rounded(farthest / 3)} with a model trained for it"
    )
    raise ParameterError(f"{message} certify a radius of {best:.4g} at most, not {farthest:g}: give {way}")


def _rounded(sigma: float) -> str:
    """Upwards to two digits."""
    digits = 1 - math.floor(math.log10(sigma))
    return f"{math.ceil(sigma * 10**digits) / 10**digits:g}"
