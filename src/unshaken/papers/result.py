"""`PaperResult`: the outcome of a paper's experiment, as it is kept and printed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.values import text_of
from unshaken.papers.claim import Check, JudgedPart
from unshaken.papers.paper import Headline, Paper, Scale, scale_of
from unshaken.store.run_dir import RunDir

RESULT = "result.json"
FROM_CACHE = "The networks came from the cache, so the seconds hold no training."


def note_of(checks: Sequence[Check], remark: str) -> str:
    """Which conditions of the rules failed and which held, a sentence each, and the remark."""
    held, failed = ("; ".join(c.words for c in checks if c.holds is side) for side in (True, False))
    verdicts = [f"{word}: {words}." for word, words in (("Did not hold", failed), ("Held", held)) if words]
    return " ".join(filter(None, [*verdicts, remark]))


def own_parameters(paper: Paper) -> list[str]:
    """Parameters as `name=value` where they are of neither scale; none where they are of one."""
    given = {} if scale_of(paper) else paper.model_dump(exclude_defaults=True)
    return [f"{name}={text_of(value)}" for name, value in given.items()]


def remark_of(paper: Paper, measured: Mapping[str, Any], fewer: Mapping[str, Sequence[int]]) -> str:
    """Remarks on figures besides the parts of the rule, all of them made from what the run kept.

    Args:
        paper: with the parameters of the run.
        measured: its figures.
        fewer: by SPEC of data, how many images were asked for and how many there were, where these are fewer.
    """
    changed = ", ".join(own_parameters(paper))
    sentences = (
        f"Run with {changed}." if changed else "",
        *(f"Asked for {asked} images of {spec}, which has {there}." for spec, (asked, there) in fewer.items()),
        paper.remark(measured),
        FROM_CACHE if measured.get("networks_from_cache") else "",
    )
    return " ".join(filter(None, sentences))


class PaperResult(BaseModel):
    """The outcome of a paper's experiment.

    Args:
        slug: the paper's name here.
        title: of the publication.
        claim: what it says, in a sentence.
        measured: dotted name to a figure (`value`, `low`, `high`, `n`, `interval`) or a plain number.
        expected: published or derived figures under the same names, and `rule`, that of the verdict.
        reproduced: whether every part that the title's claim rests on is shown.
        data: SPEC.
        model: SPEC.
        seed: the run seed.
        seconds: wall time of the run.
        scale: of the parameters; None if they are of neither scale, or were before there were scales.
        note: which parts of the rule held and which failed, and what else a reader must know.
        summary: the claim in at most a hundred characters.
        headline: the figures that stand for all, first the one on which the claim rests.
        differs: sentences that say what differs from the publication.
        checks: the conditions of the rules, with the figures met.
        parts: the statements of the claim, each with its rule and outcome.
        frozen: digest of parts, rules and settings as they stood before the first row; empty where none was kept.
        judged: the same of those that gave the outcomes.
        provenance: versions and machine, the sessions of a resumed run, and where each network came from.
        remark: the note without the parts of the rule.
        seen_in_training: sentences that say which images networks have or probably have learned from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    slug: str = Field(pattern=r"^[a-z0-9-]+$")
    title: str
    claim: str
    measured: dict[str, Any]
    expected: dict[str, Any]
    reproduced: bool
    data: str
    model: str
    seed: int
    seconds: float = Field(ge=0)
    note: str
    scale: Scale | None = None
    summary: str = ""
    headline: tuple[Headline, ...] = ()
    differs: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    parts: tuple[JudgedPart, ...] = ()
    frozen: str = ""
    judged: str = ""
    provenance: dict[str, Any] = {}
    remark: str = ""
    seen_in_training: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As printed by the command line."""
        return self.model_dump(mode="json", by_alias=True, exclude={"checks": {"__all__": {"effect"}}})

    @property
    def folder(self) -> str:
        """The name of the row's folder: the slug with underscores."""
        return self.slug.replace("-", "_")

    def save(self, folder: str | os.PathLike[str] = "src/unshaken_papers") -> Path:
        """Keep the result as `result.json` in the row's folder below a folder, whole or not at all."""
        RunDir(folder).write_json(self.to_json(), self.folder, RESULT)
        return Path(folder) / self.folder / RESULT
