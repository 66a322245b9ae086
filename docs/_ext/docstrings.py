"""Lets docstrings stay plain text: `code` in single backticks, and *, |, _ that mean themselves."""

from __future__ import annotations

import re
import textwrap
from typing import Any

CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
SPECIAL = re.compile(r"[*|\\]|(?<=\w)_(?=\W|$)")


def to_rest(text: str) -> str:
    """Plain text to reStructuredText: code becomes literal, markup that is not meant as such is escaped."""
    parts = CODE.split(text)
    for i, part in enumerate(parts):
        if i % 2:
            inner = part.strip("`").strip()  # a literal with a space at an end is text in reStructuredText
            follows = parts[i + 1][:1]
            parts[i] = f"``{inner}``" + ("\\ " if follows.isalnum() else "")
        else:
            parts[i] = SPECIAL.sub(lambda found: "\\" + found.group(), part)
    return "".join(parts)


def blocks(lines: list[str]) -> list[list[str]]:
    """Runs of lines that are text, a doctest, a table or fenced code; code across a line break is seen as one."""
    runs: list[list[str]] = []
    inside = fenced = False
    before = ""
    for line in lines:
        fence = line.lstrip().startswith("```")
        starts = line.lstrip().startswith(">>>")
        ends = not line.strip()
        is_table = line.startswith("|")
        if not fenced and (not runs or fence or (starts and not inside) or ends or is_table != before.startswith("|")):
            runs.append([])
        inside = (inside or starts) and not ends
        runs[-1].append(line)
        fenced ^= fence
        if fence and not fenced:
            runs.append([])
        before = line
    return runs


def code_block(run: list[str]) -> list[str]:
    """Fenced code of Markdown as a directive."""
    language = run[0].strip("` ") or "text"
    code = textwrap.dedent("\n".join(run[1:-1])).split("\n")
    return [f".. code-block:: {language}", "", *(f"    {line}".rstrip() for line in code), ""]


def list_table(run: list[str]) -> list[str]:
    """A table of Markdown as a directive."""
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in run if not line.startswith("|--")]
    cells = [f"{'  ' if i else '* '}- {to_rest(cell)}" for row in rows for i, cell in enumerate(row)]
    return [".. list-table::", "    :header-rows: 1", "", *(f"    {cell}" for cell in cells), ""]


def plain(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Rewrite one docstring in place, before napoleon reads its sections."""
    text: list[str] = []
    for run in blocks(lines):
        if any(line.lstrip().startswith(">>>") for line in run):
            text += run
        elif run and run[0].lstrip().startswith("```"):
            text += code_block(run)
        elif len(run) > 1 and run[1].startswith("|--"):
            text += list_table(run)
        else:
            text += to_rest("\n".join(run)).split("\n") if run else []
    lines[:] = text


def skip(_app: Any, _what: str, name: str, _obj: Any, skipped: bool, _options: Any) -> bool | None:
    """Leave out what pydantic and the registry put on every class, and the `Base[State]` that pydantic makes."""
    return True if name in {"model_config", "model_post_init", "info"} or "[" in name else None


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", plain, priority=100)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
