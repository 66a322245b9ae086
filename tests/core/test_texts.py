"""`NAME[:k=v,...]` taken apart, and texts made safe to show."""

from __future__ import annotations

import pytest

from unshaken.core.errors import ParameterError
from unshaken.core.texts import cell, first_line, parse_values, printable


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("pgd", "pgd", {}),
        ("", "", {}),
        ("pgd:steps=40", "pgd", {"steps": "40"}),
        ("pgd:a=1, b = x=y ,c=", "pgd", {"a": "1", "b": "x=y", "c": ""}),
        ("pgd:at=c:d", "pgd", {"at": "c:d"}),
    ],
)
def test_names_and_values(text, name, values):
    assert parse_values(text) == (name, values)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pgd:", "'' is not of the form key=value"),
        ("pgd:steps", "'steps' is not of the form key=value"),
        ("pgd:=4", "'=4' is not of the form key=value"),
        ("pgd: =4", "' =4' is not of the form key=value"),
        ("pgd:a=1,", "'' is not of the form key=value"),
        ("pgd:a=1, a=2", "'a' is given twice: give it once"),
        (" pgd", "remove the space around 'pgd'"),
        ("pgd :a=1", "remove the space around 'pgd'"),
    ],
)
def test_other_forms_are_refused(text, why):
    with pytest.raises(ParameterError) as caught:
        parse_values(text)
    assert str(caught.value) == f"{text!r}: {why}"


def test_what_steers_a_terminal_is_escaped():
    assert printable("a\x1b[31m é\n") == r"a\x1b[31m é\n"


@pytest.mark.parametrize("value", [-1.5, 3, None, True, "dark/0.png", "a=b", "", "1-2"])
def test_cells_that_are_no_formulas_stay(value):
    assert cell(value) is value or cell(value) == value
    assert type(cell(value)) is type(value)


@pytest.mark.parametrize("value", ["=A1", "+1", "-1", "@x", "  =A1", "\t1", "\r1"])
def test_formulas_stay_texts_in_a_spreadsheet(value):
    assert cell(value) == f"'{printable(value)}"


def test_the_first_line_of_an_error():
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
    assert first_line(KeyError(" ")) == "' '"
    assert first_line(ValueError("x" * 300)) == "x" * 200
