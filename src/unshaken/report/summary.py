"""`build`: the summary of a run, from its rows and `run.json` alone. It is `summary.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from unshaken.report.compare import RunComparison
from unshaken.report.read.frame import Frame, read_frame
from unshaken.report.read.methods import read_methods
from unshaken.report.sections import Report, Section, Source, load_sections
from unshaken.store.config import UNFINISHED, RunConfig, read_config
from unshaken.store.run_dir import RunDir, consistent

NAME = "summary.json"


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """The figures of a run, with the sections that show them.

    Args:
        data: what `summary.json` holds; its JSON schema is `schema()`.
        source: what the figures are made of.
        sections: those whose rows the run has.
        kept: section to what it kept besides its figures.
    """

    data: dict[str, Any]
    source: Source
    sections: tuple[Section, ...] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> RunConfig:
        """The configuration of the run, from `run.json`."""
        return self.source.config

    @property
    def frame(self) -> Frame:
        """The outcomes that the figures are made of."""
        return self.source.frame

    @property
    def comparison(self) -> RunComparison | None:
        """With the baseline, if there is one."""
        found: RunComparison | None = self.kept.get("comparison")
        return found

    def report(self, **more: Any) -> Report:
        """Report from which blocks are made; `more` are runs beside it and gates."""
        return Report(self.source, self.data, self.kept, self.comparison, **more)


def schema() -> dict[str, Any]:
    """The JSON schema of `summary.json`, the parts of all sections included."""
    text = files("unshaken.report").joinpath("summary.schema.json").read_text(encoding="utf-8")
    result: dict[str, Any] = json.loads(text)
    for section in load_sections():
        result["properties"] |= section.schema
        result["required"] += section.schema
    return result


def build(run: RunDir, *, baseline: RunDir | None = None, radii: Sequence[float] = ()) -> Summary:
    """The figures of a run, with intervals; nothing is computed that rows do not say.

    Args:
        run: a finished run, or one that was stopped: `notes` then names what lacks and `complete` is false.
        baseline: a run on the same samples, to compare with by pairs.
        radii: sizes that gates ask about; see `Source`.

    Raises:
        RunError: there is no run, or its rows are damaged.
        ParameterError: the baseline is not on the same samples, or one of the two has no labels.
    """
    config = read_config(run)
    with consistent(run):
        source = Source(run, config, read_frame(run, config), read_methods(config), baseline, tuple(radii))
    data: dict[str, Any] = {"schema": 1, "complete": True, "notes": {}}
    if run.exists(UNFINISHED):
        data["complete"] = False
        data["notes"]["flags"] = "some may be missing: the run was stopped before its last step; add --resume to it"
    sections, kept, every = [], {}, load_sections()
    task = config.task if config.task in {section.task for section in every} else "classification"
    for section in every:
        data |= section.empty
        if section.task not in (None, task) or not section.reads(run):
            continue
        with consistent(run):
            found = section.figures(source)
        if taken := found.data.keys() & data.keys() - section.empty.keys():
            raise ValueError(f"the section {section.name!r} fills {sorted(taken)[0]!r}, which another has filled")
        sections.append(section)
        kept[section.name] = found.kept
        data |= found.data
        data["notes"] |= found.notes
        data["complete"] &= found.complete
    return Summary(finite(data), source, tuple(sections), kept)


def finite(value: Any) -> Any:
    """The same JSON with null in the place of numbers that JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value
