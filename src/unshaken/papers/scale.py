"""`Scale`: an experiment as `quick`, about ten minutes on two cores, as `full`, as published results, or as `tiny`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.papers.paper import Paper


class Scale(StrEnum):
    """The size of an experiment: the same parts of the claim, tried with fewer or more samples, epochs and seeds.

    `tiny` is for tests alone: it shows that an experiment runs, and nothing of its claim.
    """

    QUICK = "quick"
    FULL = "full"
    TINY = "tiny"

    def sizes(self, paper: type[Paper]) -> Mapping[str, Any]:
        """The parameters of this scale that differ from the defaults."""
        return {Scale.QUICK: {}, Scale.FULL: paper.full, Scale.TINY: paper.tiny}[self]


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
    given = {name: getattr(paper, name) for name in paper.model_fields_set}
    return type(paper)(**{**scale.sizes(type(paper)), **given})


def scale_of(paper: Paper) -> Scale | None:
    """Of which scale a paper's parameters are; None if of none. Where two are equal, the full one comes first."""
    cls = type(paper)
    return next((s for s in (Scale.FULL, Scale.QUICK, Scale.TINY) if paper == cls(**s.sizes(cls))), None)
