"""How docstrings, which are plain text and a little Markdown, become reStructuredText."""

import importlib.util
from pathlib import Path

PATH = Path(__file__).parents[2] / "docs" / "_ext" / "docstrings.py"
spec = importlib.util.spec_from_file_location("docstrings", PATH)
docstrings = importlib.util.module_from_spec(spec)
spec.loader.exec_module(docstrings)


def rewritten(text):
    lines = text.split("\n")
    docstrings.plain(None, "", "", None, None, lines)
    return "\n".join(lines)


def test_code_is_literal_and_markup_that_is_not_meant_is_escaped():
    assert rewritten("Takes `a_` and x*y, |z|.") == "Takes ``a_`` and x\\*y, \\|z\\|."
    assert rewritten("Long `code\nhere`.") == "Long ``code\nhere``."
    assert rewritten("Split at `; ` or `a`.") == "Split at ``;`` or ``a``."


def test_doctests_stay():
    text = ">>> f(`a`)\n'*'"
    assert rewritten(f"Text.\n\n{text}\n\nMore `b`.") == f"Text.\n\n{text}\n\nMore ``b``."


def test_fenced_code_becomes_a_block():
    text = "See:\n\n```python\n    def f(x):\n\n        return x * `y`\n```\n\nEnd `z`."
    wanted = "See:\n\n.. code-block:: python\n\n    def f(x):\n\n        return x * `y`\n\n\nEnd ``z``."
    assert rewritten(text) == wanted


def test_a_table_becomes_a_list_table():
    assert rewritten("| name | what |\n|---|---|\n| `a` | one |").split("\n") == [
        ".. list-table::",
        "    :header-rows: 1",
        "",
        "    * - name",
        "      - what",
        "    * - ``a``",
        "      - one",
        "",
    ]


def test_a_norm_at_the_start_of_a_line_is_no_table():
    assert rewritten("The norm\n|x| is small.") == "The norm\n\\|x\\| is small."


def test_what_pydantic_makes_is_left_out():
    names = ("model_config", "CellAttack[PatchState]", "CellAttack", "certify")
    assert [docstrings.skip(None, "", name, None, False, None) for name in names] == [True, True, None, None]
