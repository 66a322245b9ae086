import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import draw_design

sys.path.pop(0)


def structure(svg):
    """The rooms of a picture in their order, and its arrows."""
    groups = list(ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}g"))
    rooms = [g.get("data-room") for g in groups if g.get("class") == "room"]
    return rooms, {(g.get("data-from"), g.get("data-to")) for g in groups if g.get("class") == "import"}


@pytest.fixture(scope="module")
def sources():
    """The rooms, and how often each imports another."""
    rooms = draw_design.order_of_rooms()
    return rooms, draw_design.count_imports(rooms)


def test_the_committed_picture_and_folders_are_those_of_the_sources(sources):
    rooms, edges = sources
    wanted = rooms, set(edges)
    assert structure(draw_design.PICTURE.read_text(encoding="utf-8")) == wanted, "run scripts/draw_design.py"
    folders = draw_design.TREE.findall(draw_design.PAGE.read_text(encoding="utf-8"))
    assert folders == [draw_design.tree(rooms)], "run scripts/draw_design.py"
    assert "\ncertify/  engine  bounds" in folders[0]
    assert "  pages/explained  " in folders[0]


def test_every_arrow_goes_down(sources):
    rooms, edges = sources
    assert edges["attack", "core"] > 10
    levels = {**{room: i for i, room in enumerate(rooms)}, "data": rooms.index("models")}  # these two share a row
    assert [edge for edge in edges if levels[edge[0]] > levels[edge[1]]] == []


def test_a_picture_has_a_box_a_room_and_an_arrow_an_import():
    rooms = [draw_design.Room("top", 0, 1200), draw_design.Room("low", 3, 80)]
    svg = draw_design.draw(rooms, Counter({("top", "low"): 7}))
    assert structure(svg) == (["top", "low"], {("top", "low")})
    texts = [text.text for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["7", "top", None, "1.2k lines", "low", "3 methods", "0.1k lines"]


@pytest.mark.parametrize(
    ("code", "rooms"),
    [
        ("import unshaken.attack.engine.base\n", ["attack"]),
        ("from unshaken.core.errors import DataError\n", ["core"]),
        ("from unshaken import detect\n", ["detect"]),
        ("def f():\n    from unshaken.store.run_dir import RunDir\n", ["store"]),
        ("import importlib\nimportlib.import_module('unshaken.api')\n", ["api"]),
        ("if TYPE_CHECKING:\n    from unshaken.api import audit\n", []),
        ("import torch\nfrom torch import nn\n", []),
    ],
)
def test_imports_of_a_file(tmp_path, code, rooms):
    path = tmp_path / "module.py"
    path.write_text(code)
    assert list(draw_design._imported(path)) == rooms
