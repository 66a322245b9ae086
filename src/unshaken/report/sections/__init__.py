"""Sections of a report, one file a room or a theme. A file of this folder that has a `section` is one; no list is kept.

A plug-in adds one through the entry point group `unshaken.sections`.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from unshaken.core.imports import plugins
from unshaken.report.blocks import Block, Notice, Text, Tile
from unshaken.report.read.frame import Frame
from unshaken.report.read.methods import Methods
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir

if TYPE_CHECKING:
    from unshaken.report.compare import RunComparison
    from unshaken.report.gates.kept import GateResult

__all__ = ["Other", "Report", "Section", "SectionFigures", "Source", "load_sections"]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Source of a run's figures.

    Args:
        run: its directory.
        config: its configuration.
        frame: its outcomes.
        methods: what is known of its methods.
        baseline: a run on the same samples to compare with.
        radii: sizes that gates ask about, for certificates that compute how far each of them reaches.
    """

    run: RunDir
    config: RunConfig
    frame: Frame
    methods: Methods
    baseline: RunDir | None = None
    radii: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Other:
    """The figures of another run on the same images.

    Args:
        name: its model.
        place: where it lies.
        figures: condition to its figure, `clean` included; consistency where there are no labels.
        comparison: of this report's run with it as baseline, or None.
        note: why there is no comparison or no figure; empty when there is.
    """

    name: str
    place: str
    figures: dict[str, dict[str, Any]]
    comparison: RunComparison | None
    note: str


@dataclass(frozen=True, slots=True)
class SectionFigures:
    """The figures that a section computes.

    Args:
        data: parts of `summary.json`.
        notes: figure or place to what a reader must know of it; they stand in `notes`.
        complete: nothing lacks that the plan asked for.
        kept: what the section's blocks need and `summary.json` does not hold.
    """

    data: Mapping[str, Any]
    notes: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    kept: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Source of a report's blocks.

    Args:
        source: of the figures.
        data: what `summary.json` holds.
        kept: section to what it kept of its figures.
        comparison: with the baseline, if there is one.
        others: runs shown side by side with this one.
        gates: what became of each gate.
    """

    source: Source
    data: Mapping[str, Any]
    kept: Mapping[str, Any]
    comparison: RunComparison | None = None
    others: Sequence[Other] = ()
    gates: Sequence[GateResult] = ()


class Section(ABC):
    """A part of a report. `figures` reads rows; `blocks` arranges what it found for people.

    A subclass says its `name`, the `table` of rows that it reads (without these rows it is left out), the `task` whose
    runs it is for (None for all), its `order` on the page, and the `schema` of the parts of `summary.json` that it
    fills, with what these hold without it (`empty`).
    """

    name: ClassVar[str]
    table: ClassVar[str] = "outcomes"
    task: ClassVar[str | None] = None
    order: ClassVar[int] = 50
    schema: ClassVar[Mapping[str, Any]] = {}
    empty: ClassVar[Mapping[str, Any]] = {}

    def figures(self, source: Source) -> SectionFigures:
        """The figures, from rows and `run.json` alone; none for a section that shows those of others."""
        return SectionFigures({})

    @abstractmethod
    def blocks(self, report: Report) -> Sequence[Block]:
        """Blocks of the section on a page; empty for nothing."""

    def tiles(self, report: Report) -> Sequence[Tile]:
        """The large numbers of the first screen."""
        return ()

    def notices(self, report: Report) -> Sequence[Notice]:
        """Notices that stand before any number."""
        return ()

    def lead(self, report: Report) -> Sequence[Text]:
        """Sentences for the head of the page."""
        return ()

    def lines(self, report: Report) -> Sequence[Text]:
        """Findings for the head of the page, each on a line of its own."""
        return ()

    def question(self, report: Report) -> str:
        """The title of a page whose run changes no images for the model itself; empty where another section asks."""
        return ""

    def following(self, report: Report) -> Text:
        """What to do next, for the head of the page; that of the first section that says something."""
        return ""

    def reads(self, run: RunDir) -> bool:
        """Whether a run has the rows of this section."""
        return bool(run.names("rows", self.table, suffix=".parquet"))


def load_sections() -> list[Section]:
    """The sections of this folder and of installed plug-ins, in the order of the page.

    Raises:
        ValueError: two sections have one name, or fill the same part of `summary.json`.
    """
    files = [m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg and not m.name.startswith("_")]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in sorted(files)]
    found = [m.section for m in modules if hasattr(m, "section")]
    found += [plugin.load() for plugin in plugins("unshaken.sections")]
    for what, names in (("name", [s.name for s in found]), ("part", [key for s in found for key in s.schema])):
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"two sections of the report have the {what} {twice[0]!r}")
    return sorted(found, key=lambda s: (s.order, s.name))
