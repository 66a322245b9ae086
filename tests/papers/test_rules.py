"""Rules as data: the checks that they give, by hand, and prose that cannot differ from them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from unshaken.core.errors import ParameterError
from unshaken.papers.rules import Rule, apply_rules, check_rules, rule_in_words


def figure(low, value, high):
    return {"value": value, "low": low, "high": high, "n": 9, "interval": "by hand"}


def judged(measured, named=None, **rule):
    checks = apply_rules({"part": [Rule(**{"words": "it", **rule})]}, measured, named or {})
    return [(check.words, check.holds, check.opposed) for check in checks]


@pytest.mark.parametrize(
    ("bounds", "holds", "opposed"),
    [
        ({}, True, False),
        ({"above": 0.1}, True, False),
        ({"above": 0.2}, False, False),
        ({"above": 0.5, "opposed_below": 0.5}, False, True),
        ({"below": 0.4}, True, False),
        ({"below": 0.3}, False, False),
        ({"below": 0.0}, False, True),
        ({"below": -1, "opposed_above": 0.1}, False, True),
        ({"below": -1, "opposed_above": 0.2}, False, False),
    ],
)
def test_the_whole_interval_decides(bounds, holds, opposed):
    ((_, *found),) = judged({"a": {"gain": figure(0.125, 0.25, 0.375)}}, figure="a.gain", **bounds)
    assert found == [holds, opposed]


def test_stars_stand_for_every_name_and_all_must_hold():
    measured = {"gain": {"fog": {"1": figure(0.1, 0.2, 0.3)}, "jpeg": {"1": figure(-0.3, -0.2, -0.1)}, "n": 4}}
    rule = {"figure": "gain.*.1", "words": "gain under {0}"}
    assert judged(measured, {"jpeg": "JPEG"}, **rule) == [
        ("gain under fog: +0.2000 (+0.1000 to +0.3000)", True, False),
        ("gain under JPEG: -0.2000 (-0.3000 to -0.1000)", False, True),
    ]


def test_figures_that_are_not_paired_are_subtracted():
    measured = {"rate": {net: figure(x - 0.05, x, x + 0.05) for net, x in (("a", 0.75), ("b", 0.25))}}
    (check,) = judged(measured, figure="rate.a", minus="rate.b", above=0.3)
    assert check == ("it: +0.5000 (+0.4000 to +0.6000, wanted above 0.3)", True, False)
    (check,) = judged(measured, figure="rate.b", one_minus=True, above=0.6)
    assert check == ("it: +0.7500 (+0.7000 to +0.8000, wanted above 0.6)", True, False)


def test_seeds_give_one_figure_or_a_check_each():
    measured = {f"seed{i}": {"gain": x, "fall": figure(x, x, x)} for i, x in enumerate((0.1, 0.11, 0.12))}
    ((words, holds, _),) = judged(measured, figure="seed*.gain", over_seeds=True)
    assert words.startswith("it: +0.1100 (")
    assert holds
    assert [words for words, *_ in judged(measured, figure="seed*.fall", words="{0}")] == [
        f"seed{i}: {x:+.4f} ({x:+.4f} to {x:+.4f})" for i, x in enumerate((0.1, 0.11, 0.12))
    ]


def test_a_figure_that_is_not_there_is_an_error_unless_it_is_optional():
    with pytest.raises(KeyError, match="b"):
        judged({"a": figure(0, 1, 2)}, figure="b")
    assert judged({"a": figure(0, 1, 2)}, figure="b", optional=True) == []


def test_prose_has_the_bounds_of_its_checks():
    rules = [Rule(figure="a", words="a", above=-0.02, opposed_below=-0.5), Rule(figure="b", words="b", above=2)]
    prose = "Shown if no more than {0.above:-} is lost, {1.above} times; contradicted below {0.opposed_below:.0%}."
    assert rule_in_words(prose, rules) == "Shown if no more than 0.02 is lost, 2 times; contradicted below -50%."
    check_rules("part", prose, rules)
    with pytest.raises(ParameterError, match=r"does not name the bound above = 2: write \{1\.above\}"):
        check_rules("part", prose.replace("{1.above}", "2"), rules)
    with pytest.raises(ValidationError):
        Rule(figure="a", words="a", above=float("nan"))
