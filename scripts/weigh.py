"""Prints how much there is to read: lines, files and functions of the workbench by room, of the rows, and of tests.

    python scripts/weigh.py

Lines are those of files, blank ones and docstrings included; a function's are those of its body without its docstring.
`imports` is the share of lines that are import statements.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).resolve().parents[1]


@dataclass(slots=True)
class Weight:
    """What the Python files of one folder weigh."""

    files: int = 0
    lines: int = 0
    imports: int = 0
    bodies: list[int] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Count one file."""
        text = path.read_text(encoding="utf-8")
        self.files += 1
        self.lines += text.count("\n")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.imports += _length(node)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                self.bodies.append(sum(map(_length, body)))

    def row(self, name: str) -> str:
        """One line of the table."""
        body = fmean(self.bodies) if self.bodies else 0.0
        share = self.imports / self.lines if self.lines else 0.0
        each = self.lines / self.files if self.files else 0.0
        return f"{name:12} {self.lines:9,} {self.files:7,} {each:8.0f} {body:9.1f} {share:9.1%}"


def _length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def weigh(folder: Path) -> Weight:
    """All Python files below a folder."""
    found = Weight()
    for path in sorted(folder.rglob("*.py")):
        found.add(path)
    return found


def table() -> Iterator[str]:
    """The table, line by line: rooms from the heaviest down, the workbench, the rows, the tests."""
    package = ROOT / "src" / "unshaken"
    rooms = {folder.name: weigh(folder) for folder in package.iterdir() if (folder / "__init__.py").exists()}
    yield f"{'':12} {'lines':>9} {'files':>7} {'a file':>8} {'function':>9} {'imports':>9}"
    for name, weight in sorted(rooms.items(), key=lambda entry: -entry[1].lines):
        yield weight.row(name)
    yield weigh(package).row("workbench")
    rows = ROOT / "src" / "unshaken_papers"
    if rows.exists():
        yield weigh(rows).row("rows")
        claims = [path.read_text(encoding="utf-8").count("\n") for path in rows.rglob("claim.toml")]
        yield f"{'claims':12} {sum(claims):9,} {len(claims):7,}"
    yield weigh(ROOT / "tests").row("tests")


if __name__ == "__main__":
    print("\n".join(table()))
