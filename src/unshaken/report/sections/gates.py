"""Gates: conditions on figures, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from unshaken.report.blocks import Block, Heading, Items, Notice, Span, Text
from unshaken.report.gates.kept import GateResult
from unshaken.report.sections import Report, Section

_STATES = {
    "held": Span("gate held", "good"),
    "failed": Span("gate FAILED", "bad"),
    "undecided": Span("gate not decided", "bad"),
}


class Gates(Section):
    """The results of all gates, one line each; `summary.json` gets them once they are decided."""

    name = "gates"
    order = 6
    schema = {
        "gates": {
            "description": "each gate, and what became of it: the records of gates.json; empty without gates",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["gate", "state", "value", "detail", "added"],
                "additionalProperties": False,
                "properties": {
                    "gate": {"type": "string", "minLength": 1},
                    "state": {"enum": ["held", "failed", "undecided"]},
                    "value": {
                        "description": "the figure met; null where it is none or infinite",
                        "type": ["number", "null"],
                    },
                    "detail": {"type": "string"},
                    "added": {"description": "not asked, but added; see docs/gates.md", "type": "boolean"},
                },
            },
        }
    }
    empty = {"gates": []}

    @override
    def notices(self, report: Report) -> Sequence[Notice]:
        return gate_notices(report.gates)

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        return gate_blocks(report.gates)


def gate_notices(gates: Sequence[GateResult]) -> tuple[Notice, ...]:
    """The notice at the head of a page of a run with gates; none without any."""
    n = len(gates)
    failed, undecided = ([g for g in gates if g.state == state] for state in ("failed", "undecided"))
    if not n:
        return ()
    if undecided and not failed:
        some = "The gate is not decided" if n == 1 else f"{len(undecided)} of {n} gates are not decided"
        one = undecided[0]
        return (Notice((Span(some, "strong"), ": ", Span(one.text, "code"), f" ({one.detail})"), "gates"),)
    if not failed:
        return (Notice(Span("The gate held." if n == 1 else f"All {n} gates held.", "strong"), "gates", "good"),)
    first, more = failed[0], f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
    head = Span("The gate failed" if n == 1 else f"{len(failed)} of {n} gates failed", "strong")
    return (Notice((head, ": ", Span(first.text, "code"), f" ({first.detail}){more}"), "gates"),)


def gate_blocks(gates: Sequence[GateResult]) -> tuple[Block, ...]:
    """The part of a page that has each gate on a line; empty without any."""
    if not gates:
        return ()
    items: list[Text] = [(_STATES[g.state], ": ", Span(g.text, "code"), f": {g.detail}") for g in gates]
    return (Heading("Gates", "gates", "Gates"), Items(tuple(items), brief=True))


section = Gates()
