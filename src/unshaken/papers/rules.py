"""Rules as data: what a part of `claim.toml` compares with which bound, and the prose that names the same bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.papers.claim import Check, decide
from unshaken.papers.effects import Nested, across_seeds, complement, flat, negated, unpaired

BOUNDS = ("above", "below", "opposed_below", "opposed_above")


class Rule(BaseModel):
    """One comparison of a figure with a bound, by the figure's interval; a part is shown if all of its checks hold.

    Args:
        figure: dotted name of a measured figure. A `*` in it stands for every name there, and gives a check for each:
            all of them must hold.
        words: what is compared; `{0}`, `{1}` are the names that the stars stood for, as `[words]` has them.
        minus: a figure that is subtracted where the two are not paired; stars stand for the same names.
        one_minus: take 1 less the figure, a share.
        above: shown if the whole interval lies above; 0 if no bound is given.
        below: shown if the whole interval lies below, in the place of `above`.
        opposed_below: contradicted if the whole interval lies below; default 0 or `above`, the smaller.
        opposed_above: with `below`, contradicted if the whole interval lies above; default 0 or `below`, the larger.
        over_seeds: the stars stand for seeds, whose values give one figure: their mean with its interval.
        optional: leave the check out where the run has no such figure, as without an extra's package.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    figure: str
    words: str
    minus: str = ""
    one_minus: bool = False
    above: FiniteFloat | None = None
    below: FiniteFloat | None = None
    opposed_below: FiniteFloat | None = None
    opposed_above: FiniteFloat | None = None
    over_seeds: bool = False
    optional: bool = False


class _Bound(float):
    """A bound in prose: `{0.above}` as short as it can be, `{0.above:.0%}` as of a float, a `-` for the other sign."""

    @override
    def __format__(self, how: str) -> str:
        number = -self if how.startswith("-") else float(self)
        return format(number, how.removeprefix("-") or "g")


class _InWords:
    """The bounds of a check by name, for the prose of its rule."""

    def __init__(self, rule: Rule) -> None:
        self.__dict__.update({name: _Bound(value) for name in BOUNDS if (value := getattr(rule, name)) is not None})


def rule_in_words(prose: str, rules: Sequence[Rule]) -> str:
    """The prose of a rule with the bounds of its checks.

    >>> rule_in_words("Shown if it is above {0.above}.", [Rule(figure="gain", words="gain", above=0.5)])
    'Shown if it is above 0.5.'
    """
    return prose.format(*map(_InWords, rules)) if rules else prose


def check_rules(part: str, prose: str, rules: Sequence[Rule]) -> None:
    """Refuse checks whose bounds the prose does not name: both come from one line, so that they cannot differ.

    Args:
        part: its name, for messages.
        prose: of the rule.
        rules: its checks.

    Raises:
        ParameterError: the prose lacks a bound or names another one, or a check has bounds on both sides.
    """
    where = f"parts.{part}"
    if not rules:
        return
    try:
        rule_in_words(prose, rules)
    except (IndexError, AttributeError, KeyError, ValueError) as error:
        raise ParameterError(f"{where}.rule: a check has no such bound ({error}): correct the {{...}} in it") from None
    named = {float(getattr(rules[int(i)], bound)) for i, bound in re.findall(r"\{(\d+)\.(\w+)[:}]", prose)}
    for number, rule in enumerate(rules):
        if {"above", "opposed_below"} & rule.model_fields_set and {"below", "opposed_above"} & rule.model_fields_set:
            raise ParameterError(f"{where}.checks.{number}: bounds on both sides: give above, or below")
        for bound in BOUNDS:
            value = getattr(rule, bound)
            if value and value not in named and -value not in named:
                raise ParameterError(
                    f"{where}.rule: does not name the bound {bound} = {value:g}: write {{{number}.{bound}}}"
                )


def apply_rules(
    rules: Mapping[str, Sequence[Rule]], measured: Mapping[str, Any], words: Mapping[str, str]
) -> list[Check]:
    """The checks of all parts whose rule is data.

    Args:
        rules: by part.
        measured: the figures.
        words: names of figures in words.

    Raises:
        KeyError: a figure is not there, and its check is not optional.
    """
    view = Nested(flat(measured))
    return [check for part, own in rules.items() for rule in own for check in _checks(part, rule, view, words)]


def _checks(part: str, rule: Rule, view: Nested, words: Mapping[str, str]) -> Iterator[Check]:
    found = [(names, figure) for names, figure in _matches(view, rule.figure.split(".")) if figure is not None]
    if not found and not rule.optional:
        raise KeyError(rule.figure)
    if rule.over_seeds and found:
        values = [float(figure["value"] if isinstance(figure, Mapping) else figure) for _, figure in found]
        found = [((), across_seeds(values))]
    for names, figure in found:
        effect = complement(figure) if rule.one_minus else figure
        if rule.minus:
            own = iter(names)
            other = ".".join(next(own) if "*" in name else name for name in rule.minus.split("."))
            effect = unpaired(effect, _figure(view, other.split(".")))
        text = rule.words.format(*(words.get(name, name) for name in names))
        if rule.below is None and rule.opposed_above is None:
            yield decide(part, text, effect, above=rule.above or 0.0, opposed_below=rule.opposed_below)
        else:
            yield _decide_below(part, text, effect, rule.below or 0.0, rule.opposed_above)


def _decide_below(part: str, words: str, effect: Mapping[str, Any], below: float, opposed_above: float | None) -> Check:
    """As `decide`, of an effect that should be smaller than a bound."""
    against = None if opposed_above is None else -opposed_above
    check = decide(part, words, negated(effect), above=-below, opposed_below=against)
    low, high = (f"{'inf' if end is None else f'{end:+.4f}'}" for end in (effect["low"], effect["high"]))
    low = f"-{low}" if effect["low"] is None else low
    text = f"{words}: {effect['value']:+.4f} ({low} to {high}, wanted below {below:g})"
    smallest = None if check.smallest is None else -check.smallest
    ends = effect["value"], effect["low"], effect["high"]
    return Check(text, check.holds, part, check.opposed, smallest, check.short, ends)


def _matches(view: Any, path: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The figures under a dotted name, each with the names that its stars stood for."""
    if not path:
        yield (), view
        return
    if not isinstance(view, Mapping):
        return
    star = "*" in path[0]
    for name in [n for n in view if fnmatchcase(n, path[0])] if star else [path[0]]:
        if name in view:
            for names, figure in _matches(view[name], path[1:]):
                yield ((name, *names) if star else names), figure


def _figure(view: Any, path: Sequence[str]) -> Any:
    for name in path:
        view = view[name]
    return view
