"""`unshaken.board`: which runs share a column, ranks and cost; submissions that are damaged, changed or made up."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import unshaken
from tests.flat_images import Brightness, flat_images
from tests.submissions import change
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.store.config import read_config
from unshaken.store.protocol import protocol_of
from unshaken.store.run_dir import RunDir
from unshaken.store.submission import pack_run, unpack_run
from unshaken.store.tables import schema_of

FOG = [{"method": "fog", "severities": [1]}]


def audit(place: Path, folder: str, threshold: float, spare: int, **options):
    return unshaken.audit(
        Brightness(threshold, spare), options.pop("data", flat_images()), options.pop("plan", []), out=place / folder,
        name=options.pop("name", folder), save_examples=0, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three models on the same images, of 10, 100 and 1,000 parameters and known order."""
    place = tmp_path_factory.mktemp("board") / "runs"
    audit(place, "exact", 0.5, 100)
    audit(place, "near", 0.52, 10)
    audit(place, "far", 0.9, 1000)
    return place


def board(tmp_path, *places):
    return unshaken.board(*places, out=tmp_path / "board")


def test_one_protocol_is_one_column_with_ranks_and_cost(runs, tmp_path):
    made = board(tmp_path, runs)
    rows = {row["model"]: row for row in made.table()}
    assert len({row["protocol"] for row in rows.values()}) == 1
    levels = np.linspace(0, 255, 60).astype(np.uint8)
    assert rows["far"]["value"] == pytest.approx(np.mean((levels > 0.9 * 255) == (levels > 127)))
    assert (rows["exact"]["rank_low"], rows["exact"]["rank_high"]) == (1, 2)  # near misses one image of 60
    assert (rows["far"]["rank_low"], rows["far"]["rank_high"]) == (3, 3)
    assert {name: row["parameters"] for name, row in rows.items()} == {"exact": 100, "near": 10, "far": 1000}
    assert {name for name, row in rows.items() if row["front"]} == {"exact", "near"}  # far is larger and worse
    assert all(row["forwards"] >= 60 and row["backwards"] == 0 for row in rows.values())
    folder = Path(str(made.run))
    assert [r["model"] for r in csv.DictReader((folder / "board.csv").read_text().splitlines())] == [*rows]
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "rank 3" in page
    for number in range(3):
        assert f'href="runs/{number:04d}.html"' in page
        assert (folder / f"runs/{number:04d}.html").exists()
    assert board(tmp_path, runs).table() == made.table()  # the folder of a board is written again


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("seed", {"seed": 1}),
        ("samples", {"limit": 20}),
        ("plan", {"plan": FOG}),
        ("eot", {"eot": 2}),
        ("data", {"data": flat_images(40)}),
    ],
)
def test_runs_that_differ_in_a_field_never_share_a_column(runs, tmp_path, field, options):
    audit(tmp_path, "other", 0.5, 5, **options)
    ours, theirs = (protocol_of(read_config(RunDir(place))) for place in (runs / "exact", tmp_path / "other"))
    assert field in ours.differences(theirs)
    made = board(tmp_path, runs, tmp_path / "other")
    columns = made.summary["columns"]
    assert len(columns) == len(made.summary["protocols"]) == 2
    assert [sorted(column["ranks"]["clean"]) for column in columns] == [["exact", "far", "near"], ["other"]]
    assert {row["rank_high"] for row in made.table() if row["model"] == "other"} == {1}  # alone in its column


def test_a_column_names_norm_and_budgets_of_its_attacks(tmp_path):
    net, data = "demo:standard", "demo"
    for norm, eps in (("linf", ["4/255", "0.1", "8/255"]), ("l2", "0.5")):
        unshaken.attack(net, data, "fgsm", norm=norm, eps=eps, limit=10, out=tmp_path / "runs" / norm)
    made = board(tmp_path, tmp_path / "runs")
    assert {row["plan"] for row in made.table()} == {"fgsm linf 4/255 to 0.1", "fgsm l2 0.5"}


def test_names_paths_and_batches_make_no_other_protocol(runs, tmp_path):
    audit(tmp_path, "other", 0.4, 5, name="another name", batch_size=7)
    made = board(tmp_path, runs, tmp_path / "other")
    assert len(made.summary["protocols"]) == 1


def test_two_models_of_one_name_are_two_rows_and_a_second_run_is_left_out(runs, tmp_path):
    audit(tmp_path / "more", "exact", 0.45, 100)
    shutil.copytree(runs / "near", tmp_path / "more/copy")
    made = board(tmp_path, runs, tmp_path / "more")
    names = [row["model"] for row in made.table()]
    assert len(names) == 4
    assert sum(name.startswith("exact (") for name in names) == 2
    [(name, reason)] = made.left_out
    assert name.endswith("copy")
    assert "the same model under the same protocol as" in reason


def test_what_cannot_be_used_is_left_out_with_its_reason(runs, tmp_path):
    for name in ("unfinished", "torn", "rows"):
        shutil.copytree(runs / "exact", tmp_path / "odd" / name)
    (tmp_path / "odd/unfinished/unfinished").write_bytes(b"")
    (tmp_path / "odd/torn/run.json").write_text("{")
    file = next((tmp_path / "odd/rows/rows/outcomes").iterdir())
    file.write_bytes(file.read_bytes()[:-30])
    made = board(tmp_path, tmp_path / "odd", runs / "near")
    assert [row["model"] for row in made.table()] == ["near"]
    reasons = {Path(name).name: reason for name, reason in made.left_out}
    assert "not finished" in reasons["unfinished"]
    assert "run.json" in reasons["torn"]
    assert "outcomes" in reasons["rows"]
    with pytest.raises(RunError, match=r"no finished run for a board; .*not finished"):
        board(tmp_path, tmp_path / "odd/unfinished")
    with pytest.raises(RunError, match="outcomes"):
        board(tmp_path, tmp_path / "odd/rows")


def test_places_without_runs_are_refused(tmp_path):
    with pytest.raises(RunError, match="no run directory, no submission and no folder"):
        board(tmp_path, tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="give folders with run directories or submissions"):
        board(tmp_path, tmp_path / "empty")
    (tmp_path / "board").mkdir()
    (tmp_path / "board/letter.txt").write_text("mine")
    with pytest.raises(ParameterError, match="holds other files"):
        board(tmp_path, tmp_path / "empty")


def submit(runs, tmp_path) -> Path:
    (tmp_path / "sent").mkdir()
    unshaken.api.submit_run(runs / "exact", out=tmp_path / "sent/exact.zip")
    return tmp_path / "sent/exact.zip"


def test_a_submission_gives_the_figures_of_its_run(runs, tmp_path):
    place = RunDir(shutil.copytree(runs / "exact", tmp_path / "mapped"))
    read_config(place)
    rows = pa.table({"id": ["0"], "layer": ["net"], "features": [[0.0]]}, schema=schema_of("embeddings"))
    place.write_rows(rows, "embeddings", "clean", 0)
    assert place.rows("embeddings").num_rows == 1
    assert pack_run(place) == pack_run(RunDir(runs / "exact"))  # rows of a map are not needed
    file = submit(runs, tmp_path)
    assert pack_run(RunDir(runs / "exact")) == file.read_bytes()  # the same run, the same bytes
    names = zipfile.ZipFile(file).namelist()
    assert not [name for name in names if name.endswith((".html", ".safetensors")) or "embeddings" in name]
    made = board(tmp_path, tmp_path / "sent", runs / "far")
    whole = unshaken.board(runs / "exact", runs / "far", out=tmp_path / "whole")
    changed = {"source", "submitted", "seconds"}
    for one, other in zip(made.table(), whole.table(), strict=True):
        assert {k: v for k, v in one.items() if k not in changed} == {
            k: v for k, v in other.items() if k not in changed
        }
    assert [row["submitted"] for row in made.table()] == [True, False]


def test_a_changed_submission_is_left_out_and_named(runs, tmp_path):
    file = submit(runs, tmp_path)
    whole = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        config = json.loads(archive.read("run.json"))
        rows = next(name for name in archive.namelist() if name.startswith("rows/outcomes"))
        torn = bytearray(archive.read(rows))
    torn[len(torn) // 2] ^= 1
    other_seed = json.dumps({**config, "seed": 3}).encode()
    other_model = json.dumps({**config, "model_fingerprint": "0" * 32}).encode()
    for name, data, digests, message in (
        (rows, bytes(torn), False, "was changed after the submission was made"),
        (rows, None, False, "is missing"),
        ("run.json", other_seed, False, "run.json was changed"),
        ("run.json", other_seed, True, "its protocol is"),
        ("run.json", other_model, True, "its model is"),
        ("../escape.txt", b"mine", True, "is no file of a run"),
        ("rows/outcomes/extra.parquet", b"mine", False, "or not in its record"),
        ("submission.json", None, False, "no submission.json"),
        ("submission.json", b"{", False, "submission.json"),
    ):
        file.write_bytes(whole)
        change(file, name, data, digests=digests)
        with pytest.raises(RunError, match=message):
            unpack_run(file, tmp_path / "into" / message.replace(" ", "-"))
    assert not (tmp_path / "escape.txt").exists()
    made = board(tmp_path, file, runs / "near")
    assert made.left_out[0][0] == str(file)
    assert str(Path.home()) not in made.left_out[0][1]
    file.write_text("no zip")
    with pytest.raises(RunError, match="no submission"):
        unpack_run(file, tmp_path / "into/text")
    with pytest.raises(DataError, match="no regular file"):
        unpack_run(tmp_path, tmp_path / "into/folder")


def test_rows_that_are_missing_are_found_although_the_digests_fit(runs, tmp_path):
    audit(tmp_path, "foggy", 0.5, 5, plan=FOG)
    unshaken.api.submit_run(tmp_path / "foggy", out=tmp_path / "foggy.zip")
    with zipfile.ZipFile(tmp_path / "foggy.zip") as archive:
        rows = next(name for name in archive.namelist() if name.startswith("rows/outcomes/fog"))
    change(tmp_path / "foggy.zip", rows, None, digests=True)
    made = board(tmp_path, tmp_path / "foggy.zip", runs / "near")
    [(_, reason)] = made.left_out
    assert "rows are missing" in reason


def test_runs_that_cannot_be_submitted(runs, tmp_path):
    with pytest.raises(ParameterError, match=r"let it end in \.zip"):
        unshaken.api.submit_run(runs / "exact", out=tmp_path / "exact.json")
    with pytest.raises(RunError, match="not a run directory"):
        unshaken.api.submit_run(tmp_path, out=tmp_path / "a.zip")
    shutil.copytree(runs / "exact", tmp_path / "unfinished")
    (tmp_path / "unfinished/unfinished").write_bytes(b"")
    with pytest.raises(RunError, match="has not finished"):
        unshaken.api.submit_run(tmp_path / "unfinished", out=tmp_path / "a.zip")
