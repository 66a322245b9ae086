"""Decisions about images with two cues, collected and summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unshaken.explain.biases.cue_bias import CueBias, bias_by_class, bias_difference, cue_bias
from unshaken.measure import Figure
from unshaken.measure.statistics.columns import Indices


@dataclass(slots=True)
class Conflicts:
    """Decisions of models about the same images.

    Args:
        first: class of the first cue, parts of int64 `[n]`.
        second: class of the second cue.
        decided: by model.
    """

    first: list[Tensor] = field(default_factory=list)
    second: list[Tensor] = field(default_factory=list)
    decided: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, first: Tensor, second: Tensor, decided: dict[str, Tensor]) -> None:
        """Add the decisions about some images."""
        self.first.append(first.cpu())
        self.second.append(second.cpu())
        for name, decisions in decided.items():
            self.decided.setdefault(name, []).append(decisions)

    def figures(self) -> tuple[dict[str, Figure], list[str]]:
        """Each model's bias and share of decisions for a cue, differences from the first model, and remarks."""
        figures: dict[str, Figure] = {}
        remarks = []
        first, second = self._cues()
        decided = {name: _joined(parts) for name, parts in self.decided.items()}
        baseline = next(iter(decided.values()))
        for place, (name, decisions) in enumerate(decided.items()):
            bias = cue_bias(decisions, first, second)
            found = {"bias": bias.figure(), "cue_share": bias.cue_figure()}
            if place:
                found["difference"] = bias_difference(baseline, decisions, first, second)
            figures |= {f"{what}.{name}": figure for what, figure in found.items() if figure is not None}
            if found["bias"] is None:
                remarks.append(f"{name} decides for neither cue of any image, so that it has no bias.")
        return figures, remarks

    def counts(self, names: Sequence[str]) -> dict[str, Any]:
        """Decisions for the first cue, the second and neither, of each model: in all, and by class of the first cue."""
        first, second = self._cues()
        whole, by_class = {}, {}
        for model, parts in self.decided.items():
            decisions = _joined(parts)
            whole[model] = _listed(cue_bias(decisions, first, second))
            by_class[model] = {names[c]: _listed(b) for c, b in bias_by_class(decisions, first, second).items()}
        return {"counts": whole, "by_class": by_class}

    def _cues(self) -> tuple[Indices, Indices]:
        return _joined(self.first), _joined(self.second)


def _joined(parts: list[Tensor]) -> Indices:
    found: Indices = torch.cat(parts).numpy()
    return found


def _listed(bias: CueBias) -> list[int]:
    return [bias.first, bias.second, bias.other]
