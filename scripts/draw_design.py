"""Draws docs/images/design.svg and lists the folders of every room in docs/design.md.

The picture has the rooms in their order, what each imports, how many methods and lines it has. Everything is read from
the sources and from the table of rooms in docs/design.md. Run it when a room, one of its folders, or an import between
rooms is new: `python scripts/draw_design.py`.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from unshaken.core.sources import PACKAGE, sources_of

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "design.md"
PICTURE = ROOT / "docs" / "images" / "design.svg"
TREE = re.compile(r"(?<=<!-- folders, by scripts/draw_design.py -->\n).*?(?=<!-- end of folders -->)", re.DOTALL)

STEP_X, STEP_Y, BOX_W, BOX_H, MARGIN = 54, 46, 52, 40, 12

STYLE = """<style>
text { font: 11px sans-serif; fill: #1f2328; text-anchor: middle } .small { font-size: 9px; fill: #57606a }
.card { fill: #ffffff } .box { fill: #ddf4ff; stroke: #0969da } .wire { stroke: #afb8c1; fill: none }
.head { fill: #8c959f } .count { fill: #ffffff; stroke: #8c959f }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #9da7b3 } .card { fill: #0d1117 } .box { fill: #12283f; stroke: #58a6ff }
.wire { stroke: #444c56 } .head { fill: #768390 } .count { fill: #0d1117; stroke: #768390 } }
</style>"""


@dataclass(frozen=True, slots=True)
class Room:
    """A room of the package.

    Args:
        name: of its folder.
        methods: entered in the registry.
        lines: of its Python files.
    """

    name: str
    methods: int
    lines: int


def order_of_rooms() -> list[str]:
    """The rooms from top to bottom, as the table of the design page lists them; those without a folder are left out."""
    heads = re.findall(r"^\| (`[^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    names = [name for head in heads for name in re.findall(r"`(\w+)`", head)]
    return [name for name in names if (PACKAGE / name / "__init__.py").exists()]


def read_rooms() -> list[Room]:
    """The rooms in their order, measured."""
    return [Room(name, len(sources_of(name)), sum(map(_lines, _files(name)))) for name in order_of_rooms()]


def count_imports(rooms: list[str]) -> Counter[tuple[str, str]]:
    """How many files of a room import something of another, by (importing room, imported room)."""
    found: Counter[tuple[str, str]] = Counter()
    for room in rooms:
        for path in _files(room):
            found.update((room, other) for other in set(_imported(path)) & set(rooms) - {room})
    return found


def draw(rooms: list[Room], imports: Counter[tuple[str, str]]) -> str:
    """An SVG: rooms on the diagonal, in each row what the room imports, arrows down to the imported room."""
    place = {room.name: i for i, room in enumerate(rooms)}
    width = 2 * MARGIN + STEP_X * (len(rooms) - 1) + BOX_W
    height = 2 * MARGIN + STEP_Y * (len(rooms) - 1) + BOX_H
    wires, counts = [], []
    for (above, below), files in sorted(imports.items(), key=lambda item: (place[item[0][0]], place[item[0][1]])):
        x, y = _centre(place[below])[0], _centre(place[above])[1]
        start, end = _centre(place[above])[0] + BOX_W / 2, _centre(place[below])[1] - BOX_H / 2
        wires.append(f'<path class="wire" d="M{start:g} {y}H{x}V{end:g}"/>')
        wires.append(f'<path class="head" d="M{x - 4} {end - 7:g}h8l-4 7z"/>')
        counts.append(
            f'<g class="import" data-from={quoteattr(above)} data-to={quoteattr(below)}>'
            f'<circle class="count" cx="{x}" cy="{y}" r="11"/><text x="{x}" y="{y + 4}">{files}</text></g>'
        )
    boxes = []
    for i, room in enumerate(rooms):
        x, y = _centre(i)
        size = f"{room.lines / 1000:.1f}k lines"
        methods = f"{room.methods} methods" if room.methods else ""
        boxes.append(
            f'<g class="room" data-room={quoteattr(room.name)}><rect class="box" x="{x - BOX_W / 2:g}" '
            f'y="{y - BOX_H / 2:g}" width="{BOX_W}" height="{BOX_H}" rx="4"/>'
            f'<text x="{x}" y="{y - 6}">{room.name}</text><text class="small" x="{x}" y="{y + 5}">{methods}</text>'
            f'<text class="small" x="{x}" y="{y + 16}">{size}</text></g>'
        )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        "<title>The rooms of unshaken from top to bottom, and how many files of each import another</title>"
    )
    card = f'<rect class="card" width="{width}" height="{height}" rx="6"/>'
    return "\n".join([head, STYLE, card, *wires, *counts, *boxes, "</svg>", ""])


def tree(rooms: list[str]) -> str:
    """The packages within each room that has some, as a block of Markdown: a line a room, wrapped."""
    lines = []
    for room in rooms:
        if folders := _folders(PACKAGE / room):
            first, text = f"{room}/".ljust(10), "  ".join(folders)
            lines += textwrap.wrap(text, 116, initial_indent=first, subsequent_indent=" " * 10)
    return "\n".join(["```text", *lines, "```", ""])


def main() -> None:
    """Write the picture and the folders."""
    rooms = read_rooms()
    names = [room.name for room in rooms]
    PICTURE.write_text(draw(rooms, count_imports(names)), encoding="utf-8")
    PAGE.write_text(TREE.sub(tree(names), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(PICTURE.relative_to(ROOT), PAGE.relative_to(ROOT), sep="\n")


def _folders(package: Path) -> list[str]:
    """The packages within a package, `engine` first, those within them behind a slash."""
    found = []
    for name in sorted((path.parent.name for path in package.glob("*/__init__.py")), key=lambda n: (n != "engine", n)):
        inner = ",".join(_folders(package / name))
        found.append(f"{name}/{{{inner}}}" if "," in inner else f"{name}/{inner}".rstrip("/"))
    return found


def _centre(i: int) -> tuple[int, int]:
    return MARGIN + BOX_W // 2 + STEP_X * i, MARGIN + BOX_H // 2 + STEP_Y * i


def _files(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _imported(path: Path) -> Iterator[str]:
    """The rooms that a file names in imports, but for those that only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("unshaken."))
        elif isinstance(node, ast.ImportFrom) and node.module == "unshaken":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unshaken."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            texts = (a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))
            yield from (text.split(".")[1] for text in texts if text.startswith("unshaken."))


if __name__ == "__main__":
    main()
