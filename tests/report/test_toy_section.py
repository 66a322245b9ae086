"""A room that brings a table of rows and a section is on every page without an edit elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest

from unshaken.cli.show import print_page
from unshaken.core.part import CLEAN, Part
from unshaken.core.tables import TABLES
from unshaken.report import build, schema, sections
from unshaken.report.write import make_report
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

Make = Callable[..., RunDir]
SECTION = '''
"""Sharpness of images, a toy."""

from unshaken.measure import share
from unshaken.report import cells
from unshaken.report.blocks import Heading, Table, Tile
from unshaken.report.sections import SectionFigures, Section


class Sharpness(Section):
    name = "toy"
    table = "sharpness"
    order = 45
    schema = {"sharp": {"type": ["object", "null"]}}
    empty = {"sharp": None}

    def figures(self, source):
        column = source.run.rows("sharpness")["sharp"].to_pylist()
        return SectionFigures({"sharp": share(sum(column), len(column)).to_json()}, {"sharp": "of a toy"})

    def tiles(self, report):
        return [Tile("sharp images", f"{100 * report.data['sharp']['value']:.1f} %", "a toy")]

    def blocks(self, report):
        rows = (("all", cells.share(report.data["sharp"])),)
        table = Table("Sharp images.", cells.columns("toy", "sharp"), rows, brief=True)
        return Heading("Sharpness", "sharpness", "Sharpness"), table


section = Sharpness()
'''


@pytest.fixture
def toy_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with one section, found beside those of the package, and the table of the room that it belongs to."""
    folder = tmp_path / "sections"
    folder.mkdir()
    (folder / "toy_sharpness.py").write_text(SECTION, encoding="utf-8")
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(folder)])
    columns = {"id": "string", "condition": "string", "sharp": "bool"}
    monkeypatch.setitem(TABLES, "sharpness", columns)
    yield
    monkeypatch.undo()


def test_a_toy_room_is_in_all_four(toy_room: None, make_run: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(plan=[Entry(method="fog", severities=(3,))])
    part = Part("sharpness", CLEAN, {"id": ["a", "b", "c", "d"], "sharp": [True, True, True, False]})
    run.write_rows(table_of(part), "sharpness", "clean", 0)
    written = make_report(run)
    assert written.summary["sharp"]["value"] == 0.75
    assert written.summary["notes"]["sharp"] == "of a toy"
    jsonschema.Draft202012Validator(schema()).validate(json.loads(run.read("summary.json")))
    page, text = run.read("report.html").decode(), run.read("report.md").decode()
    assert '<a href="#sharpness">Sharpness</a>' in page
    assert '<dt>sharp images</dt><dd class="big">75.0\N{NO-BREAK SPACE}%</dd>' in page
    assert "75.0\N{NO-BREAK SPACE}% <span" in page.split('id="sharpness"')[1]
    assert "## Sharpness\n\nSharp images." in text
    assert "| all | 75.0 % (19.4 to 99.4 %) |" in text
    print_page(written.page)
    assert "75.0 % (19.4 to 99.4)" in capsys.readouterr().out


def test_without_its_rows_it_is_left_out(toy_room: None, make_run: Make) -> None:
    run = make_run(plan=[Entry(method="fog", severities=(3,))])
    written = make_report(run)
    assert written.summary["sharp"] is None
    assert "harpness" not in run.read("report.html").decode() + run.read("report.md").decode()


def test_two_sections_cannot_fill_one_part(toy_room: None, tmp_path: Path, make_run: Make) -> None:
    twin = SECTION.replace('"toy"', '"twin"', 1)
    (tmp_path / "sections" / "toy_twin.py").write_text(twin, encoding="utf-8")
    with pytest.raises(ValueError, match="two sections of the report have the part 'sharp'"):
        build(make_run(plan=[]))
