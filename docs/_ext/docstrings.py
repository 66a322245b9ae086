"""Lets docstrings stay plain text: `code` in single backticks, and *, |, _ that mean themselves."""

from __future__ import annotations

import re
from typing import Any

CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
SPECIAL = re.compile(r"[*|\\]|(?<=\w)_(?=\W|$)")


def to_rest(text: str) -> str:
    """Plain text to reStructuredText: code becomes literal, markup that is not meant as such is escaped."""
    parts = CODE.split(text)
    for i, part in enumerate(parts):
        if i % 2:
            inner = part.strip("`")
            follows = parts[i + 1][:1]
            parts[i] = f"``{inner}``" + ("\\ " if follows.isalnum() else "")
        else:
            parts[i] = SPECIAL.sub(lambda found: "\\" + found.group(), part)
    return "".join(parts)


def blocks(lines: list[str]) -> list[list[str]]:
    """Runs of lines that are text or doctest, so that code across a line break is seen as one."""
    runs: list[list[str]] = []
    inside = False
    for line in lines:
        starts = line.lstrip().startswith(">>>")
        ends = not line.strip()
        if not runs or (starts and not inside) or ends:
            runs.append([])
        inside = (inside or starts) and not ends
        runs[-1].append(line)
    return runs


def plain(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Rewrite one docstring in place, before napoleon reads its sections."""
    text: list[str] = []
    for run in blocks(lines):
        doctest = any(line.lstrip().startswith(">>>") for line in run)
        text += run if doctest else to_rest("\n".join(run)).split("\n")
    lines[:] = text


def skip(_app: Any, _what: str, name: str, _obj: Any, skipped: bool, _options: Any) -> bool | None:
    """Leave out what pydantic and the registry put on every class."""
    return True if name in {"model_config", "model_post_init", "info"} else None


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", plain, priority=100)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
