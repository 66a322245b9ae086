"""The promises of the page *Stability* on files of other versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from unshaken.api.label_record import ESTIMATE, read_estimate
from unshaken.core.errors import UnshakenError
from unshaken.detect.engine.detector_folder import LIST, read_list
from unshaken.harden.engine.judgement import read_summary
from unshaken.models.loaders.from_run import read_record
from unshaken.report.gates.kept import NAME as GATES
from unshaken.report.gates.kept import read_gates
from unshaken.report.read.map import RECORD as MAP
from unshaken.report.read.map import read_record as read_map_record
from unshaken.report.rebuild import KINDS, rebuild_report
from unshaken.store.run_dir import RunDir
from unshaken.tasks.ranking.evaluate import RECORD as RANKINGS
from unshaken.tasks.ranking.evaluate import read_report

ROOT = Path(__file__).parents[1]
READERS = {
    **dict.fromkeys(["run.json", *KINDS], rebuild_report),
    LIST: lambda run: read_list(run.root),
    GATES: read_gates,
    ESTIMATE: read_estimate,
    "model.json": lambda run: read_record(run.root),
    "summary.json": read_summary,
    RANKINGS: read_report,
    MAP: read_map_record,
}


def test_every_table_that_is_written_has_a_schema(tmp_path):
    run = RunDir(tmp_path)
    run.write_json({"a": 1}, "a.json")
    run.create_json({"b": 1}, "b.json")
    assert (run.read_json("a.json"), run.read_json("b.json")) == ({"schema": 1, "a": 1}, {"schema": 1, "b": 1})
    run.write(b'{"a": 1}', "a.json")  # as earlier versions wrote some
    assert run.read_json("a.json") == {"a": 1}
    run.write_json({"schema": 2}, "a.json")
    assert run.read_json("a.json", newest=2) == {"schema": 2}


@pytest.mark.parametrize("name", READERS)
def test_a_file_of_a_later_version_is_refused_by_name(name, tmp_path):
    run = RunDir(tmp_path)
    run.write_json({"schema": 2}, name)
    with pytest.raises(UnshakenError, match=rf"{name} has the schema 2, of a later version of unshaken: read it with"):
        READERS[name](run)


def test_the_page_names_every_file():
    page = (ROOT / "docs" / "stability.md").read_text(encoding="utf-8")
    constants = re.compile(r'^[A-Z_, ]+ = .*?"([\w-]+\.json)"', re.MULTILINE)
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "src" / "unshaken").rglob("*.py")]
    names = {name for text in texts for name in constants.findall(text)} - {
        "files.json",  # of code on its way to a node
        "folder_to_objectnet_label.json",  # of ObjectNet, as it is published
    }
    assert not [name for name in names if f"{name}`" not in page]


def test_json_is_written_into_files_where_its_schema_is_seen():
    """By `RunDir.write_json`, as a record with a field `schema_`, with a `format`, or in another program's form.

    What a run sends to its own processes is no file of a user.
    """
    writes = re.compile(r"write(?:_text)?\((?:json\.dumps|\w+\.model_dump_json).*")
    for path in (ROOT / "src" / "unshaken").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for line in writes.findall(text):
            assert "by_alias" in line or "FORMAT" in text or path.name in ("exchange.py", "code_bundle.py"), path
