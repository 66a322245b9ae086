"""Flags: reasons to doubt the figures, with what they mean and what to do, as the run keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from typing_extensions import override

from unshaken.core.errors import UnshakenError
from unshaken.core.flag import KINDS
from unshaken.core.registry import list_methods
from unshaken.report import cells
from unshaken.report.blocks import Block, Doubt, Flags, Heading, Notice, Prose, Span, Text
from unshaken.report.cells import Row
from unshaken.report.read.scores import inside
from unshaken.report.sections import Report, Section, SectionFigures, Source
from unshaken.report.wording import flag_text
from unshaken.store.config import RunConfig, read_config
from unshaken.store.run_dir import RunDir


class FlagsOfRun(Section):
    """The flags of a run and of those inside it on the same data."""

    name = "flags"
    order = 8

    @override
    def figures(self, source: Source) -> SectionFigures:
        rows = [row for run in _places(source.run, source.config) for row in run.rows("flags").to_pylist()]
        rows += [{"id": None, **asdict(flag)} for flag in source.methods.flags()]
        merged: dict[tuple[str, str], Row] = {}
        for row in rows:
            known = merged.setdefault((row["name"], row["detail"]), {"ids": {}, **_known(row)})
            if row["id"] is not None:
                known["ids"][row["id"]] = None
        flags = [{"name": k[0], "detail": k[1], **v, "ids": list(v["ids"])} for k, v in merged.items()]
        return SectionFigures({"flags": flags})

    @override
    def notices(self, report: Report) -> Sequence[Notice]:
        flags = report.data["flags"]
        if not flags:
            return ()
        head = Span(f"{cells.counted(len(flags), 'reason')} to doubt these figures", "strong")
        names = list(dict.fromkeys(f["name"] for f in flags))
        others = f"; and {cells.listed(names[1:])}" if len(names) > 1 else ""
        return (Notice((head, f": {names[0]} ({flag_text(flags[0]['detail'])}){others}"), "flags"),)

    @override
    def following(self, report: Report) -> Text:
        advice = next((f["advice"] for f in report.data["flags"] if f["advice"]), "")
        return advice[:1].lower() + advice[1:]

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        flags = report.data["flags"]
        if not flags:
            return ()
        text = "A flag is no error. It says that a number may not mean what it seems to."
        doubts = tuple(
            Doubt(f["name"], flag_text(f["detail"]), f["meaning"], f["advice"], tuple(f["ids"])) for f in flags
        )
        return (Heading("Flags", "flags", "Flags"), Prose(text), Flags(doubts, brief=True))


def _places(run: RunDir, config: RunConfig) -> list[RunDir]:
    """The run, and those inside it on the same data; one inside that cannot be read has no flags."""
    found = [run]
    for place in config.inside:
        try:
            there = inside(run, place)
            if read_config(there).data_fingerprint == config.data_fingerprint and there.rows("flags") is not None:
                found.append(there)
        except UnshakenError:
            continue
    return found


def _known(row: Row) -> dict[str, str]:
    """Meaning and advice as the row has them; rows of earlier versions have none, and the kind is asked."""
    if not row.get("meaning") and row["name"] not in KINDS:
        list_methods()  # imports every method, and with it the kinds of flags that it raises
    kind = KINDS.get(row["name"])
    return {k: row.get(k) or (getattr(kind, k) if kind else "") for k in ("meaning", "advice")}


section = FlagsOfRun()
