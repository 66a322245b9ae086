"""Numbers from text, checked and shown."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import in_range, parse_number, parse_whole, shorten, show_budget


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("+5", 5), ("-3", -3), ("007", 7), ("9" * 19, 10**19 - 1)])
def test_whole_numbers(text, value):
    assert parse_whole(text) == value


@pytest.mark.parametrize("text", ["", "1.0", "1e3", " 1", "1_0", "٨", "x", "9" * 20])
def test_what_is_no_whole_number(text):
    with pytest.raises(ParameterError, match="is not a whole number: write digits 0-9 only"):
        parse_whole(text)


def test_bounds_belong_to_the_range():
    assert [parse_whole(t, least=1, most=3) for t in "123"] == [1, 2, 3]
    assert parse_whole("-5", most=0) == -5
    assert parse_whole("1000", least=0) == 1000
    for text, bounds, words in (
        ("0", {"least": 1, "most": 3}, " from 1 to 3"),
        ("4", {"least": 1, "most": 3}, " from 1 to 3"),
        ("0", {"least": 1}, " of 1 or more"),
        ("4", {"most": 3}, " of at most 3"),
        ("-1", {"least": 0}, " of 0 or more"),
        ("1", {"most": 0}, " of at most 0"),
    ):
        with pytest.raises(ParameterError) as caught:
            parse_whole(text, **bounds)
        assert str(caught.value) == f"'{text}' is out of range: write a whole number{words}"


@pytest.mark.parametrize(
    ("eps", "text"),
    [
        (1 / 255, "1/255"),
        (8 / 255, "8/255"),
        (64 / 255, "64/255"),
        (65 / 255, "0.2549"),
        (0.5 / 255, "0.001961"),
        (8.00001 / 255, "0.03137"),
        (8.0000001 / 255, "8/255"),
        (0.0, "0"),
        (1e-9, "1e-09"),
        (-8 / 255, "-0.03137"),
        (0.1, "0.1"),
        (3.0, "3"),
    ],
)
def test_budgets_are_shown_as_people_write_them(eps, text):
    assert show_budget(eps) == text


def test_budgets_in_fewer_digits():
    assert show_budget(1 / 3, 2) == "0.33"


@pytest.mark.parametrize(
    ("text", "value"), [("8/255", 8 / 255), ("-1/4", -0.25), ("+.5", 0.5), ("2.", 2.0), ("1e-2", 0.01), ("1/.5", 2.0)]
)
def test_numbers_and_fractions(text, value):
    assert parse_number(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["1/0", "1/2/3", "1/", "/2", "1/x", "x/1", "nan", "inf", "1e999", "."])
def test_what_is_no_number(text):
    with pytest.raises(ParameterError, match=r"^eps: .* is not a number or a fraction such as 8/255$"):
        parse_number(text, "eps")
    with pytest.raises(ParameterError, match=r"^'"):
        parse_number(text)


def test_a_programs_whole_numbers_are_checked():
    for value in (1, 3, np.int64(2)):
        in_range("limit", value, 1, 3)
    for value in (True, 1.0, "2", None):
        with pytest.raises(ParameterError, match=r"^limit .* must be a whole number from 1 to 3$"):
            in_range("limit", value, 1, 3)
    for value in (0, 4):
        with pytest.raises(ParameterError, match=f"^limit {value} must be from 1 to 3$"):
            in_range("limit", value, 1, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "'a b'"),
        (1.5, "1.5"),
        ("x" * 40, f"'{'x' * 40}'"),
        ("x" * 41, f"'{'x' * 30}...' (41 characters)"),
        ([1] * 30, "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1,... (90 characters)"),
        (2**128 - 1, "340282366920938463463374607431768211455"),
        (2**128, "a number of more than 38 digits"),
        (2**133, "a number of more than 40 digits"),  # 41 digits: 133 log10(2) = 40.04
        (10**50, "a number of more than 49 digits"),  # 51 digits
        ([10**5000], "a list with a very long number"),
    ],
)
def test_values_in_messages_are_short(value, text):
    assert shorten(value) == text


@pytest.mark.parametrize("text", ["1e-320", "1e-39", "-1e-40", "1e-38/1e3"])
def test_a_number_that_float32_cannot_hold_is_refused(text):
    with pytest.raises(ParameterError, match="is too small to compute with"):
        parse_number(text)
    assert parse_number("1.2e-38") > 0 == parse_number("0")


def test_digits_of_other_alphabets_are_no_numbers_anywhere():
    """`"٣".isdecimal()` and `int("٣") == 3`: where text is tested for digits, it is tested to be ASCII too."""
    found = [
        f"{path.name}: {line.strip()}"
        for path in (Path(__file__).parents[2] / "src").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\.is(decimal|digit|numeric)\(", line) and ".isascii()" not in line
    ]
    assert sorted({line.partition(":")[0] for line in found}) == ["certify.py", "nanodet.py", "options.py"], found
