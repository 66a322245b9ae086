"""Attacks that an oracle bounds: FMR with its parts, why searches ended, and what held-out oracles say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.part import CLEAN
from unshaken.measure import fmr, share
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Heading, Prose, Table, Tile
from unshaken.report.cells import Row
from unshaken.report.sections import Report, Section, SectionFigures, Source

FIGURE = {"$ref": "#/$defs/figure_or_null"}
PARTS = ("standard", "perturbed", "fmr", "validated", "stepped")


class OracleBoundedSection(Section):
    """Foundation-model-oriented robustness (FMR)."""

    name = "oracle_bounded"
    table = "oracle_bounded"
    order = 21
    schema = {
        "oracle_bounded": {
            "description": "one record a condition of the attack oracle-bounded",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["condition", *PARTS, "stops", "steps", "held_out", "held_out_clean"],
                "properties": {
                    "condition": {"type": "string"},
                    **dict.fromkeys((*PARTS, "held_out", "held_out_clean"), FIGURE),
                    "stops": {"type": "object", "additionalProperties": {"type": "integer"}},
                    "steps": {"description": "mean of the steps that were approved", "type": ["number", "null"]},
                },
            },
        }
    }
    empty = {"oracle_bounded": []}

    @override
    def figures(self, source: Source) -> SectionFigures:
        run, notes, found = source.run, dict[str, str](), []
        clean = _correct(source, CLEAN.id)
        table = run.rows(self.table)
        for condition in pc.unique(table["condition"]).to_pylist():
            rows = table.filter(pc.equal(table["condition"], condition)).to_pylist()
            after = _correct(source, condition)
            rows = [r for r in rows if r["id"] in clean and r["id"] in after]
            if not rows:
                continue
            record: Row = {"condition": condition, **dict.fromkeys(PARTS), **_held_out(rows)}
            record["stops"] = dict(sorted(Counter(r["stop"] for r in rows).items()))
            record["steps"] = sum(r["accepted"] for r in rows) / len(rows)
            columns = ([r["validated"] for r in rows], [r["accepted"] for r in rows])
            try:
                one = fmr([clean[r["id"]] for r in rows], [after[r["id"]] for r in rows], *columns)
                record |= {name: getattr(one, name).to_json() for name in PARTS}
            except ParameterError as error:
                notes[f"oracle_bounded.{condition}"] = str(error)
            found.append(record)
        return SectionFigures({"oracle_bounded": found}, notes)

    @override
    def tiles(self, report: Report) -> Sequence[Tile]:
        return [
            Tile(
                "FMR",
                wording.percent(one["fmr"]["value"]),
                f"{wording.span(one['fmr'])}; {wording.name_of_id(one['condition'])}",
            )
            for one in report.data["oracle_bounded"]
            if one["fmr"]
        ]

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        records = report.data["oracle_bounded"]
        if not records:
            return ()
        text = (
            "FMR is the accuracy on images perturbed as far as the oracle still sees their class, over the accuracy on "
            "the same images unchanged; both over the images whose class it sees at the start (validated). It is "
            "bounded by what the oracle knows, and a model that is like the oracle looks robust: compare what "
            "held-out oracles say of the perturbed images and of the unchanged ones."
        )
        heads = cells.columns(
            "condition", "FMR", "unchanged", "perturbed", "validated", cells.aside("with a step"),
            cells.aside("held-out oracles, perturbed"), cells.aside("unchanged"), cells.aside("searches ended by"),
        )  # fmt: skip
        rows = [
            cells.line(
                wording.name_of_id(one["condition"]),
                *(cells.share(one[name]) for name in ("fmr", *PARTS[:2], *PARTS[3:], "held_out", "held_out_clean")),
                ", ".join(f"{name} {n}" for name, n in one["stops"].items()),
            )
            for one in records
        ]
        table = Table("Oracle-bounded attacks.", heads, tuple(rows), brief=True)
        return Heading("Robustness as far as an oracle sees", "oracle", "Oracle"), Prose(text), table


def _correct(source: Source, condition: str) -> dict[str, bool]:
    """Whether each sample that has an outcome is classified correctly, by id."""
    rows = source.run.rows("outcomes", ["id", "correct"], condition=condition).to_pylist()
    return {row["id"]: row["correct"] for row in rows if row["correct"] is not None}


def _held_out(rows: Sequence[Row]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("held_out", "held_out_clean"):
        answers = [r[name] for r in rows if r[name] is not None]
        found[name] = share(sum(answers), len(answers)).to_json() if answers else None
    return found


section = OracleBoundedSection()
