"""Gates: conditions on figures, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from unshaken.report.blocks import Block, Heading, Items, Notice, Span, Text
from unshaken.report.sections import Report, Section


class Gates(Section):
    """The results of all gates, one line each."""

    name = "gates"
    order = 6

    @override
    def notices(self, report: Report) -> Sequence[Notice]:
        failed, n = [g for g in report.gates if not g.held], len(report.gates)
        if not n:
            return ()
        if not failed:
            return (Notice(Span("The gate held." if n == 1 else f"All {n} gates held.", "strong"), "gates", "good"),)
        first, more = failed[0], f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
        head = Span("The gate failed" if n == 1 else f"{len(failed)} of {n} gates failed", "strong")
        return (Notice((head, ": ", Span(first.text, "code"), f" ({first.detail}){more}"), "gates"),)

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
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
