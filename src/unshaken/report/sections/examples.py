"""What changes that need no attacker look like."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from unshaken.report import cells
from unshaken.report.blocks import Block, Heading, Prose
from unshaken.report.sections import _examples
from unshaken.report.sections.section import Report, Section


class ExamplesOfChanges(Section):
    """The most damaging pictures of each change."""

    name = "examples"
    task = "classification"
    order = 50

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        found = _examples.galleries(report, lambda row: not cells.is_attack(row))
        if not found:
            return ()
        text = f"The most damaging of the pictures kept for each change. {_examples.AROUND}"
        return (Heading("Examples", "examples", "Examples"), Prose(text), *found)


section = ExamplesOfChanges()
