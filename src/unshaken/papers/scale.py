"""`Scale`: an experiment as `quick`, about ten minutes on two cores, or as `full`, which published results have."""

from __future__ import annotations

from enum import StrEnum

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.papers.paper import Paper


class Scale(StrEnum):
    """The size of an experiment: the same parts of the claim, tried with fewer or more samples, epochs and seeds."""

    QUICK = "quick"
    FULL = "full"


def parse_scale(text: str) -> Scale:
    """The scale of that name.

    Raises:
        ParameterError: there is none.
    """
    if text not in list(Scale):
        raise ParameterError(f"no scale {text!r}; {did_you_mean(text, map(str, Scale))}")
    return Scale(text)


def at_scale(paper: Paper, scale: Scale) -> Paper:
    """The paper with the parameters of a scale, but for those that were given.

    Args:
        paper: as parsed; what it was not given has the values of the quick scale, the defaults.
        scale: wanted.
    """
    if scale is Scale.QUICK:
        return paper
    given = {name: getattr(paper, name) for name in paper.model_fields_set}
    return type(paper)(**{**type(paper).full, **given})


def scale_of(paper: Paper) -> Scale | None:
    """Of which scale a paper's parameters are; None if they are of neither. Where both are equal, the full one."""
    if paper == type(paper)(**type(paper).full):
        return Scale.FULL
    return Scale.QUICK if paper == type(paper)() else None
