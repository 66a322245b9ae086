"""Writes tests/cli/bad_inputs.md from the table of bad inputs that the tests try."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "tests" / "cli" / "bad_inputs.md"
HEAD = """# What happens when something is wrong

Wrong use and bad input end with exit code 2 and one line on stderr that says what was wrong, with which value, and what
to do. A bad sample is recorded, the run goes on, and the exit code is 3. A gate that fails gives 1. `--debug` adds the
traceback.

Each row is tried by the tests: the folder has a model `net.py`, a folder `photos` with a folder a class, a finished run
`done`, and damaged or hostile copies of these. An ellipsis stands for another package's words or a list of names.
"""


def page(cases: Iterable[Any]) -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for kind, rows in groupby(cases, lambda c: c.kind):
        parts.append(f"\n## {kind[0].upper()}{kind[1:]}\n\n| typed | exit code | stderr |\n|---|---|---|\n")
        for case in rows:
            said = "<br>".join(code(line) for line in case.message.splitlines())
            parts.append(f"| {code(case.typed.removeprefix('unshaken '))} | {case.code} | {said} |\n")
    return "".join(parts)


def code(text: str) -> str:
    """Text as code in a table's cell."""
    return "`" + text.replace("|", "\\|") + "`"


def read() -> list[Any]:
    """The cases of the tests."""
    spec = importlib.util.spec_from_file_location("cli_cases", ROOT / "tests" / "cli" / "cases.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("tests/cli/cases.py")
    module = sys.modules["cli_cases"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cases: list[Any] = module.read()
    return cases


if __name__ == "__main__":
    PAGE.write_text(page(read()), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
