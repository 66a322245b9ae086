"""A publication's claim in parts, each with a rule and an outcome of its own.

What a part says is an effect: a difference, a ratio, a share, measured with an interval. `decide` turns it into an
outcome, and says which effect this experiment would have been large enough to show.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from unshaken.core.errors import ParameterError
from unshaken.papers.effects import across_seeds

if TYPE_CHECKING:  # papers are listed without numpy
    from unshaken.measure.statistics.columns import Numbers

WHOLE = "claim"
"""The part of a claim that is not divided."""
_POWER = 1 + 0.8416 / 1.9600
"""An effect this many half-widths of its 95 % interval above the bound is shown in four of five repetitions."""


class Outcome(StrEnum):
    """Verdict on one part of a claim."""

    SHOWN = "shown"
    CONTRADICTED = "contradicted"
    SHORT = "short of its rule"
    NOT_VISIBLE = "not visible at this scale"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPart:
    """One statement of a publication.

    Args:
        statement: what the publication says, a sentence.
        rule: when it counts as shown here, and when as contradicted; written before the run.
        central: whether the claim of the title rests on it.
        untried: why this experiment does not try it; empty if it does.
    """

    statement: str
    rule: str = ""
    central: bool = True
    untried: str = ""

    def __post_init__(self) -> None:
        if bool(self.rule) == bool(self.untried):
            raise ParameterError(f"part {self.statement!r} of a claim needs a rule, or a reason why it is not tried")


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of a rule, applied to the figures.

    Args:
        words: the condition, with the numbers met.
        holds: whether it holds.
        part: the name of the part of the claim that it belongs to; the whole of one that is not divided.
        opposed: whether the figures show the opposite; a check that does not hold only fails to show its part.
        short: whether the whole interval lies below what the rule asks, without showing the opposite.
        smallest: the smallest effect that this many samples and seeds would have shown in four of five repetitions.
        effect: the value that was judged, and the ends of its interval; not kept with a result, whose figures have it.
    """

    words: str
    holds: bool
    part: str = WHOLE
    opposed: bool = False
    smallest: float | None = None
    short: bool = False
    effect: tuple[float, float | None, float | None] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.holds + self.opposed + self.short > 1:
            raise ParameterError(f"check {self.words!r} has one outcome: it holds, is opposed, or is short of its rule")


def decide(
    part: str,
    words: str,
    effect: Mapping[str, Any] | Sequence[float] | Numbers,
    *,
    above: float = 0.0,
    opposed_below: float | None = None,
) -> Check:
    """Judge an effect that should be larger than a bound by its interval.

    Args:
        part: the name of the part of the claim.
        words: what the effect is, such as `accuracy under PGD at 8/255, trained against it less plain`.
        effect: a figure as JSON: `value`, `low` and `high`, whose ends may be None where the interval has none; or a
            difference of shares, one a seed, of which `across_seeds` makes such a figure.
        above: the effect is shown if its whole interval lies above.
        opposed_below: the part is contradicted if the whole interval lies below; default 0 or `above`, the smaller.
            An interval below `above` alone is short of the rule: there may be an effect, but not one of this size.

    >>> decide("gain", "gain", {"value": 0.1, "low": 0.02, "high": 0.18}).holds
    True
    >>> decide("gain", "gain", {"value": -0.1, "low": -0.18, "high": -0.02}).opposed
    True
    >>> decide("gain", "gain", {"value": 0.1, "low": 0.02, "high": 0.18}, above=0.2).short
    True
    >>> decide("gain", "gain", [0.1, 0.11, 0.12]).holds
    True
    """
    figure = effect if isinstance(effect, Mapping) else across_seeds(effect)
    value, low, high = figure["value"], figure["low"], figure["high"]
    against = min(above, 0.0) if opposed_below is None else opposed_below
    holds = low is not None and low > above
    opposed = not holds and high is not None and high < against
    below = not holds and not opposed and high is not None and high < above
    smallest = None if low is None or low == value else above + _POWER * (value - low)  # without width none is known
    ends = f"{'-inf' if low is None else f'{low:+.4f}'} to {'inf' if high is None else f'{high:+.4f}'}"
    wanted = f", wanted above {above:g}" if above else ""
    return Check(f"{words}: {value:+.4f} ({ends}{wanted})", holds, part, opposed, smallest, below, (value, low, high))


def decide_near(part: str, words: str, figure: Mapping[str, Any], expected: float, allowed: float) -> Check:
    """Judge a figure that a law foretells: shown if its interval is near it, contradicted if wholly farther away.

    An interval that lacks an end shows nothing; the end that it has may contradict.

    Args:
        part: the name of the part of the claim.
        words: what the figure is, with the numbers met.
        figure: as JSON; its ends may be None.
        expected: by the law.
        allowed: distance from it.

    >>> decide_near("law", "rate", {"value": 0.5, "low": 0.25, "high": 0.75}, 0.5, 0.25).holds
    True
    """
    least, most = expected - allowed, expected + allowed
    low, high = (sign * math.inf if figure[end] is None else figure[end] for sign, end in ((-1, "low"), (1, "high")))
    return Check(words, least <= low and high <= most, part, opposed=high < least or low > most)


def in_every_seed(measured: Mapping[str, Any], judge: Callable[[Mapping[str, Any]], Sequence[Check]]) -> list[Check]:
    """The checks of each seed, whose name stands before their words: a part is shown if it shows in all.

    Args:
        measured: figures, those of a seed under `seed0` and so on.
        judge: applies the rules to the figures of one seed.

    >>> checks = in_every_seed({"seed0": {"gain": 0.1}, "n": 3}, lambda part: [Check("gain", part["gain"] > 0)])
    >>> [(check.words, check.holds) for check in checks]
    [('seed0: gain', True)]
    """
    return [replace(c, words=f"{name}: {c.words}") for name, part in seeds_in(measured) for c in judge(part)]


def seeds_in(measured: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The figures of each seed of a row that keeps them under `seed0`, `seed1` and so on.

    >>> seeds_in({"seed0": {"clean": 0.9}, "networks_from_cache": True})
    [('seed0', {'clean': 0.9})]
    """
    return [(name, part) for name, part in measured.items() if name.startswith("seed") and isinstance(part, Mapping)]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPart(ClaimPart):
    """A part of a claim with its outcome.

    Args:
        name: of the part.
        outcome: what became of it.
        smallest: the smallest effect that the weakest of its checks would have shown; None where no check has one.
    """

    name: str
    outcome: Outcome
    smallest: float | None = None


def judge_parts(parts: Mapping[str, ClaimPart], checks: Sequence[Check]) -> list[JudgedPart]:
    """The outcome of every part.

    It is contradicted if a check shows the opposite, shown if all hold, short of its rule if a check is, and else not
    visible. A part without a check was not tried by this run, whatever its rule says.

    Args:
        parts: of the claim, by name.
        checks: the conditions of all rules, applied to the figures.

    Raises:
        ParameterError: a check belongs to no part, or to one that is not tried.
    """
    for check in checks:
        if check.part not in parts or parts[check.part].untried:
            raise ParameterError(f"check {check.words!r} belongs to no part of the claim that is tried: {check.part!r}")
    judged = []
    for name, part in parts.items():
        own = [c for c in checks if c.part == name]
        smallest = max((c.smallest for c in own if c.smallest is not None), default=None)
        judged.append(JudgedPart(**asdict(part), name=name, outcome=_outcome(own), smallest=smallest))
    return judged


def is_reproduced(judged: Sequence[JudgedPart]) -> bool:
    """Whether every part that the title's claim rests on is shown."""
    central = [j.outcome for j in judged if j.central]
    return bool(central) and all(outcome == Outcome.SHOWN for outcome in central)


def digest_of_parts(parts: Mapping[str, ClaimPart], settings: Mapping[str, Any]) -> str:
    """32 hexadecimal digits of statements, rules and settings: what a result is judged by.

    Args:
        parts: of the claim, by name.
        settings: JSON values of the experiment.
    """
    whole = {"parts": {name: asdict(part) for name, part in parts.items()}, "settings": dict(settings)}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _outcome(checks: Sequence[Check]) -> Outcome:
    if not checks:
        return Outcome.NOT_TRIED
    if any(c.opposed for c in checks):
        return Outcome.CONTRADICTED
    if all(c.holds for c in checks):
        return Outcome.SHOWN
    return Outcome.SHORT if any(c.short for c in checks) else Outcome.NOT_VISIBLE
