"""`unshaken board verify`: honest submissions agree, and rows that were changed are found wherever they are drawn."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

import unshaken
from tests.flat_images import Brightness, flat_images
from tests.submissions import change
from unshaken.api import submit_run, verify_submission
from unshaken.cli import main
from unshaken.core.errors import ModelError, ParameterError, RunError
from unshaken.report.verification import draw_ids

PLAN = [{"method": "fog", "severities": [1]}, {"method": "fgsm", "eps": [0.2], "norm": "linf"}]
NET = "from tests.flat_images import Brightness\n\n\ndef make():\n    return Brightness(0.6)\n"


@pytest.fixture(scope="module")
def sent(tmp_path_factory) -> bytes:
    """The submission of a run of fog and FGSM in which 12 of 60 unchanged images are wrong."""
    place = tmp_path_factory.mktemp("verify")
    unshaken.audit(Brightness(0.7, 3), flat_images(), PLAN, out=place / "run", save_examples=0)
    submit_run(place / "run", out=place / "run.zip")
    return (place / "run.zip").read_bytes()


def forge(file: Path, condition: str, changes: dict[str, object], most: int = 60) -> int:
    """Change columns in the first wrong rows of a condition, with digests that fit; the number of rows changed."""
    with zipfile.ZipFile(file) as archive:
        name = next(n for n in archive.namelist() if n.startswith(f"rows/outcomes/{condition}"))
        table = pq.read_table(io.BytesIO(archive.read(name)))
    wrong = np.flatnonzero(~table["correct"].to_numpy())[:most]
    for column, value in changes.items():
        values = table[column].to_pylist()
        for row in wrong:
            values[row] = table[value][row].as_py() if value in table.column_names else value
        place = table.schema.get_field_index(column)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(values, field.type))
    out = io.BytesIO()
    pq.write_table(table, out)
    change(file, name, out.getvalue(), digests=True)
    return len(wrong)


@pytest.fixture
def file(sent, tmp_path) -> Path:
    (tmp_path / "run.zip").write_bytes(sent)
    return tmp_path / "run.zip"


def verify(file, **options):
    return verify_submission(file, Brightness(0.7, 3), flat_images(), **{"share": 1, "seed": 0, **options})


def test_an_honest_submission_agrees_in_every_row(file):
    done = verify(file)
    assert done.held
    assert done.differing == 0
    assert (done.share.low, done.share.high) == (0, 0)  # all were computed again, so nothing is left open
    assert [check.condition.partition("-")[0] for check in done.checks] == ["clean", "fog", "fgsm"]
    assert all(check.agree == check.rows == 60 for check in done.checks)
    part = verify(file, share=0.25, batch_size=4)
    assert part.drawn == 15
    assert part.share.high == pytest.approx(11 / 60)  # C(49, 15) / C(60, 15) > 0.025 >= C(48, 15) / C(60, 15)


@pytest.mark.parametrize("condition", ["clean", "fog", "fgsm"])
def test_wrong_rows_that_are_called_right_are_found(file, condition):
    changed = forge(file, condition, {"correct": True, "prediction": "label"})
    done = verify(file)
    assert not done.held
    assert [check.condition.partition("-")[0] for check in done.checks if not check.held] == [condition]
    assert done.differing == changed == sum(check.favour for check in done.checks)
    assert done.share.value == pytest.approx(changed / 60)
    assert f"{60 - changed} of these samples" in " ".join(done.sentences())


@pytest.mark.parametrize("changes", [{"confidence": 0.99999}, {"loss": 0.01}, {"label": 0}])
def test_other_figures_of_a_row_are_compared_too(file, changes):
    forge(file, "clean", changes, most=3)
    done = verify(file)
    assert not done.held


def test_one_changed_row_is_found_exactly_where_it_is_drawn(file):
    with zipfile.ZipFile(file) as archive:
        name = next(n for n in archive.namelist() if n.startswith("rows/outcomes/fog"))
        rows = pq.read_table(io.BytesIO(archive.read(name)))
        ids = json.loads(archive.read("run.json"))["ids"]
    changed = rows.filter(pc.invert(rows["correct"]))["id"][0].as_py()
    assert forge(file, "fog", {"correct": True, "prediction": "label"}, most=1) == 1
    drawn = {seed: changed in draw_ids(ids, 0.5, seed) for seed in range(4)}
    assert set(drawn.values()) == {True, False}
    assert {seed: not verify(file, share=0.5, seed=seed).held for seed in drawn} == drawn


def test_another_model_other_data_and_wrong_shares_are_refused(file):
    with pytest.raises(RunError, match="it is of a model with the fingerprint"):
        verify_submission(file, Brightness(0.7, 4), flat_images())
    with pytest.raises(RunError, match=r"another protocol than this data gives \(.*data.* differ\)"):
        verify_submission(file, Brightness(0.7, 3), flat_images(50))
    for share in (0, -0.1, 1.5, float("nan")):
        with pytest.raises(ParameterError, match=r"must be above 0 and at most 1, such as 0\.05"):
            verify(file, share=share)
    with pytest.raises(ParameterError, match=r"its model was an object in Python .*give --model"):
        verify_submission(file)
    with pytest.raises(ParameterError, match=r"its data was an object in Python .*give --data"):
        verify_submission(file, Brightness(0.7, 3))
    with pytest.raises(RunError, match="no submission"):
        verify_submission(__file__, Brightness(0.7, 3), flat_images())


def test_draws_come_from_the_seed_and_keep_the_order():
    ids = [f"{i:03}" for i in range(100)]
    assert draw_ids(ids, 0.1, 1) == draw_ids(ids, 0.1, 1) == sorted(draw_ids(ids, 0.1, 1))
    assert draw_ids(ids, 0.1, 1) != draw_ids(ids, 0.1, 2)
    assert len(draw_ids(ids, 0.001, 0)) == 1
    assert draw_ids(ids, 1, 0) == ids


def test_from_the_command_line_with_the_model_and_data_that_the_file_names(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels, labels = flat_images(20)
    for number, (one, label) in enumerate(zip(pixels, labels, strict=True)):
        place = tmp_path / "images" / ["dark", "light"][label] / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one).save(place)
    Path("net.py").write_text(NET)
    unshaken.audit("py:net.py:make", "folder:images", [], out="run", save_examples=0)
    submit_run("run", out="run.zip")
    with pytest.raises(ModelError, match=r"names the code 'py:net.py:make', which would be executed"):
        verify_submission("run.zip")
    words = ["board", "verify", "run.zip", "--share", "1", "--seed", "5", "--allow-code", "py:net.py:make"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["held"]
    assert found["share"] == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 20, "interval": "hypergeometric 95%"}
    forge(Path("run.zip"), "clean", {"correct": True, "prediction": "label"}, most=1)
    assert main(words) == 1
    assert "rows differ under clean" in capsys.readouterr().out
