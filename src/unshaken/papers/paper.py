"""`Paper`: a published claim, and the rule that decides whether the small experiment reproduced it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.registry import Parameters
from unshaken.papers.claim import WHOLE, Check, ClaimPart, digest_of_parts
from unshaken.papers.rules import Rule, apply_rules

if TYPE_CHECKING:  # a paper is listed without torch
    from unshaken.papers.context import Context
    from unshaken.papers.datasets import Datasets
    from unshaken.papers.rows import Rows


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure that a row's page shows.

    Args:
        name: dotted, its key among the measured figures; `*` stands for every seed.
        title: in plain words.
        unit: such as `accuracy`; figures of one unit share the picture.
    """

    name: str
    title: str
    unit: str


class Paper(Parameters):
    """A claim with its experiment; its fields are the experiment's parameters, with the defaults of the quick scale.

    The decorator `row` fills the class attributes, and the defaults, from the `claim.toml` of the class's folder:
    `title` of the publication; `claim`, one sentence; `summary`, the claim in at most a hundred characters; `parts`,
    its statements, each with a rule of its own (or `rule`, for a claim that is not divided): see `ClaimPart`; `rules`,
    those that are data, by part, and `words`, names of figures in their words; `expected`, published or derived figures
    under the names of `figures`; `differs`, sentences that say what differs from the publication; `data` and `model`,
    the default SPECs; `full` and `tiny`, parameters of these scales that differ from the defaults (see `Scale`);
    `tables`, the row's own tables (see `unshaken.papers.tables`); `chooses`, a table to a pattern of the conditions
    whose rows serve to choose by and never to judge by (see `unshaken.papers.roles`). `headline` has the figures that
    the row's page shows, ten at most, and first the one on which the claim rests: a name to a title and a unit, as in
    `Headline`.
    """

    room: ClassVar[str] = "papers"
    title: ClassVar[str]
    claim: ClassVar[str]
    summary: ClassVar[str] = ""
    parts: ClassVar[Mapping[str, ClaimPart]] = {}
    rule: ClassVar[str] = ""
    expected: ClassVar[Mapping[str, Any]]
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {}
    differs: ClassVar[Sequence[str]] = ()
    data: ClassVar[str]
    model: ClassVar[str]
    full: ClassVar[Mapping[str, Any]] = {}
    tiny: ClassVar[Mapping[str, Any]] = {}
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    chooses: ClassVar[Mapping[str, str]] = {}
    rules: ClassVar[Mapping[str, Sequence[Rule]]] = {}
    words: ClassVar[Mapping[str, str]] = {}

    def needed_data(self, data: str, *, own: bool) -> list[str]:
        """SPECs without which the experiment cannot end; by default the row's data alone.

        Args:
            data: SPEC, the paper's or the user's in its place.
            own: whether data or model are the user's.
        """
        return [data]

    def check_data(self, datasets: Datasets, *, own: bool) -> None:
        """Open all of `needed_data`; the frame does so before `run`, so that absent data costs no training.

        Of a user's own model the row says first, in `run`, whether it takes one.

        Raises:
            UnshakenError: one is absent; the message says how to get it.
        """
        for spec in self.needed_data(datasets.spec, own=own):
            datasets.check(spec)

    def run(self, context: Context) -> None:
        """Write the rows that are not there yet; by default `run(paper, context)` of the package's `experiment.py`.

        Raises:
            UnshakenError: data or model is absent; the message says how to get it.
        """
        importlib.import_module(f"{type(self).__module__}.experiment").run(self, context)

    def figures(self, rows: Rows) -> dict[str, Any]:
        """Compute the figures from rows alone; by default `figures(paper, rows)` of the package's `figures.py`.

        Returns:
            Names to figures (`Figure.to_json()`) or plain values, nested as needed.
        """
        found: dict[str, Any] = importlib.import_module(f"{type(self).__module__}.figures").figures(self, rows)
        return found

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """Apply the rules to the figures; every check names the part of the claim that it belongs to.

        By default the rules that are data. A class with a rule that is more than that adds its own checks to these.
        """
        return apply_rules(self.rules, measured, self.words)

    @classmethod
    def claim_parts(cls) -> Mapping[str, ClaimPart]:
        """The parts of the claim: those declared, else the whole claim as one."""
        return cls.parts or {WHOLE: ClaimPart(statement=cls.claim, rule=cls.rule)}

    @classmethod
    def whole_rule(cls) -> str:
        """The rules of all parts as one text."""
        parts = ((name, part) for name, part in cls.parts.items() if part.rule)
        return cls.rule or " ".join(f"{name}: {part.rule}" for name, part in parts)

    def rule_digest(self) -> str:
        """32 hexadecimal digits of the parts of the claim, their rules and the settings."""
        return digest_of_parts(self.claim_parts(), self.model_dump(mode="json"))

    def remark(self, measured: Mapping[str, Any]) -> str:
        """Say what else these figures mean; resumption and the cache are reported by the frame."""
        return ""

    @classmethod
    def statement(cls) -> dict[str, Any]:
        """Parts of a result that hold whatever was measured, by the names of `PaperResult`."""
        return {
            "title": cls.title,
            "claim": cls.claim,
            "summary": cls.summary or cls.claim,
            "headline": tuple(Headline(name, *words) for name, words in cls.headline.items()),
            "differs": tuple(cls.differs),
        }


class Scale(StrEnum):
    """The size of an experiment: the same parts of the claim, tried with fewer or more samples, epochs and seeds.

    `tiny` is for tests alone: it shows that an experiment runs, and nothing of its claim.
    """

    QUICK = "quick"
    FULL = "full"
    TINY = "tiny"

    def sizes(self, paper: type[Paper]) -> Mapping[str, Any]:
        """The parameters of this scale that differ from the defaults."""
        return {Scale.QUICK: {}, Scale.FULL: paper.full, Scale.TINY: paper.tiny}[self]


def parse_scale(text: str) -> Scale:
    """The scale of that name.

    Raises:
        ParameterError: there is none.
    """
    if text not in list(Scale):
        raise ParameterError(f"no scale {text!r}; {did_you_mean(text, map(str, Scale))}")
    return Scale(text)


def at_scale(paper: Paper, scale: Scale) -> Paper:
    """The paper with the parameters of a scale, but for those that were given.

    Args:
        paper: as parsed; what it was not given has the values of the quick scale, the defaults.
        scale: wanted.
    """
    given = {name: getattr(paper, name) for name in paper.model_fields_set}
    return type(paper)(**{**scale.sizes(type(paper)), **given})


def scale_of(paper: Paper) -> Scale | None:
    """Scale that a paper's parameters are of, full before quick; None if of neither, such as those of a tiny run."""
    cls = type(paper)
    return next((s for s in (Scale.FULL, Scale.QUICK) if paper == cls(**s.sizes(cls))), None)
