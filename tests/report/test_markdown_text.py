from __future__ import annotations

import pytest

from unshaken.report.markdown_text import escape, table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<b>|", "\\<b\\>\\|"),
        ("a\n# b", "a \\# b"),
        ("[x](javascript:y)", "\\[x\\]\\(javascript:y\\)"),
        ("`rm`", "\\`rm\\`"),
        ("- x - y", "\\- x - y"),
        ("@all &amp;", "\\@all \\&amp;"),
    ],
)
def test_text_is_no_markup(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_a_table_has_as_many_cells_in_each_line() -> None:
    lines = table(["a", "b"], [[escape("x|y"), "1"], ["z", "2"]]).splitlines()
    assert lines == ["| a | b |", "| --- | ---: |", "| x\\|y | 1 |", "| z | 2 |"]
