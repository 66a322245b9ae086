"""`read_transfers`: which adversarial examples of one model mislead others, from the rows of runs under one plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure import Figure, share
from unshaken.report.read.frame import read_frame
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir, consistent
from unshaken.tasks.classification import CLASSIFICATION


@dataclass(frozen=True, slots=True)
class TransferTable:
    """Examples of each source judged on each target, within one budget.

    Args:
        search: the attack on the sources; empty for that of `transfer` itself.
        norm: of the budget.
        eps: the budget.
        misled: (source, target) to the share of the images that both have right, unchanged, and the target wrong behind
            the attack; None where there is no such image.
        noise: target to the share of the images that it has right which noise of the same norm misleads; empty where
            the plan has none.
    """

    search: str
    norm: str
    eps: float
    misled: dict[tuple[str, str], Figure | None] = field(default_factory=dict)
    noise: dict[str, Figure | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As `matrix.json` holds it."""
        return {
            "search": self.search,
            "norm": self.norm,
            "eps": self.eps,
            "pairs": [
                {"source": s, "target": t, "misled": one and one.to_json()} for (s, t), one in self.misled.items()
            ],
            "noise": [{"target": target, "misled": one and one.to_json()} for target, one in self.noise.items()],
        }


@dataclass(frozen=True, slots=True)
class _Target:
    """A run: the samples that its model has right when unchanged, and those right or without a row under conditions."""

    ids: NDArray[np.str_]
    right: NDArray[np.bool_]
    under: dict[tuple[str, str, str, float], NDArray[np.int8]]
    """(SPEC of the source, its search, norm, eps), where noise has neither, to 1 right, 0 wrong, -1 no row."""


def read_transfers(runs: Mapping[str, RunDir], specs: Mapping[str, str]) -> tuple[TransferTable, ...]:
    """The tables of transfer of some runs, a table for each attack and budget.

    Args:
        runs: name of a model to its finished run, all on the same data under the same plan.
        specs: name of a model to its SPEC; a source that is none of them is left out.

    Raises:
        RunError: a file is damaged.
    """
    targets = {name: one for name, run in runs.items() if (one := _read(run)) is not None}
    names = dict[str, str]()
    for name, spec in specs.items():
        names.setdefault(spec, name)
    keys = dict.fromkeys(key for one in targets.values() for key in one.under)
    found: dict[tuple[str, str, float], TransferTable] = {}
    for spec, search, norm, eps in keys:
        if spec in names:
            found.setdefault((search, norm, eps), TransferTable(search, norm, eps))
    for (search, norm, eps), table in found.items():
        for spec in [spec for spec in names if (spec, search, norm, eps) in keys]:
            source = targets.get(names[spec])
            for target, one in targets.items():
                if source is not None and (spec, search, norm, eps) in one.under:
                    both = one.right & np.isin(one.ids, source.ids[source.right])
                    table.misled[names[spec], target] = _share(one.under[spec, search, norm, eps], both)
        for target, one in targets.items():
            if ("", "", norm, eps) in one.under:
                table.noise[target] = _share(one.under["", "", norm, eps], one.right)
    return tuple(table for table in found.values() if table.misled)


def _share(under: NDArray[np.int8], counted: NDArray[np.bool_]) -> Figure | None:
    chosen = under[counted & (under >= 0)]
    return share(int((chosen == 0).sum()), len(chosen)) if len(chosen) else None


def _read(run: RunDir) -> _Target | None:
    """The rows of a run; None without an example of another model."""
    config = read_config(run)
    lines = {
        condition: (step.parameters.get("surrogate", ""), step.parameters.get("search", ""))
        for step in config.steps
        if step.method in ("transfer", "random-noise") and config.task == CLASSIFICATION.name
        for condition in step.conditions
    }
    if not any(source for source, _ in lines.values()):
        return None
    with consistent(run):
        frame = read_frame(run, config)
        under = {
            (*lines[c.id], c.norm, c.eps): frame.right[:, j]
            for j, c in enumerate(frame.conditions)
            if c.id in lines and c.norm is not None and c.eps is not None and c.target is None
        }
        return _Target(np.array(frame.ids), frame.right[:, 0] == 1, under)
