"""Gates: conditions on figures, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from unshaken.report.blocks import Block, Heading, Items, Span, Text
from unshaken.report.sections.section import Report, Section


class Gates(Section):
    """One line a gate."""

    name = "gates"
    order = 6

    def blocks(self, report: Report) -> Sequence[Block]:
        """Nothing without gates."""
        if not report.gates:
            return ()
        items: list[Text] = [
            (
                Span("gate held", "good") if g.held else Span("gate FAILED", "bad"),
                ": ",
                Span(g.text, "code"),
                f": {g.detail}",
            )
            for g in report.gates
        ]
        return (Heading("Gates", "gates", "Gates"), Items(tuple(items), brief=True))


section = Gates()
