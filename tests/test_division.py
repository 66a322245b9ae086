"""`slices` and `meta` of verbs that score a model: counted by hand, known to gates before the run, refused early."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import ExifTags, Image
from torch import nn

import unshaken
from unshaken.cli.results import ask
from unshaken.core.errors import DataError, ParameterError
from unshaken.measure.statistics.intervals import share

FOG = [{"method": "fog", "severities": [1]}]
HALVES = "brightness:0.25"


class Light(nn.Module):
    """Light or dark by the mean pixel."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3)) - 0.5
        return torch.stack([-mean, mean], 1) * 20


def flat_images() -> Any:
    """40 flat images, 10 of each brightness 0, 0.2, 0.4 and 1; of class 1 where it is 0.4 or more."""
    levels = np.repeat([0, 51, 102, 255], 10).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (40, 8, 8, 3)).copy(), (levels >= 102).astype(int)


def audit(out: Path, **options: Any) -> unshaken.Audit:
    return unshaken.audit(Light(), flat_images(), FOG, out=out, workers=1, save_examples=0, device="cpu", **options)


def test_slices_of_an_audit_are_those_counted_by_hand_and_gates_know_them(tmp_path):
    gates = ["slice[brightness=below 0.25].accuracy >= 0.9", "slice[brightness=0.25 and above].accuracy >= 0.9"]
    done = audit(tmp_path / "run", slices=[f"{HALVES},class"], gates=gates)
    found = {(r["slicing"], r["part"]): r["accuracy"] for r in done.summary["slices"] if r["condition"] == "clean"}
    each = 1 - 0.05 / 8  # four slices, unchanged and in fog
    assert found["brightness", "below 0.25"] == share(20, 20, level=each).to_json()
    assert found["brightness", "0.25 and above"] == share(10, 20, level=each).to_json()  # those of 0.4 count as dark
    assert {part for name, part in found if name == "class"} == {"0", "1"}
    assert [g.held for g in done.gates] == [True, False]
    query = "select part, count(*) from slices where slicing = 'brightness' group by part order by part"
    assert ask(done.run, query)[1] == [("0.25 and above", 20), ("below 0.25", 20)]
    resumed = audit(tmp_path / "run", resume=True)
    assert resumed.summary["slices"] == done.summary["slices"]
    assert [g.held for g in resumed.gates] == [True, False]


def test_columns_of_a_file_and_all_of_them(tmp_path):
    run = audit(tmp_path / "run").run
    ids = [str(name) for (name,) in ask(run, "select id from outcomes where condition = 'clean' order by id")[1]]
    lines = [f"{name},{'night' if i % 2 else 'day'}" for i, name in enumerate(ids)]
    (tmp_path / "meta.csv").write_text("\n".join(["id,weather", *lines]))
    done = audit(tmp_path / "sliced", meta=tmp_path / "meta.csv", slices="weather,weather*class")
    assert {r["slicing"] for r in done.summary["slices"]} == {"weather", "weather*class"}
    every = unshaken.api.slices(done.run, "all", meta=tmp_path / "meta.csv", data=flat_images())
    assert {"weather", "brightness", "class"} < {r["slicing"] for r in every.summary["slices"]}
    (tmp_path / "meta.csv").write_text("\n".join(["id,weather", *lines[1:]]))
    with pytest.raises(DataError, match="lacks 1 of 40 samples"):
        audit(tmp_path / "other", meta=tmp_path / "meta.csv")
    assert not (tmp_path / "other").exists()


def test_columns_of_the_data_tags_of_cameras_and_a_table_of_classes(tmp_path):
    rows = []
    for i in range(12):
        file, exif = io.BytesIO(), Image.Exif()
        exif[ExifTags.Base.Model] = "AB"[i % 2]
        Image.new("RGB", (8, 8), (255 * (i % 3 == 0),) * 3).save(file, "JPEG", exif=exif)
        rows.append({"image": file.getvalue(), "label": ["dark", "light"][i % 3 == 0], "note": f"n{i}", "sky": i // 6})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    (tmp_path / "kinds.csv").write_text("class,kind\ndark,dull\nlight,bright\n")
    options = {
        "out": tmp_path / "run",
        "workers": 1,
        "save_examples": 0,
        "device": "cpu",
        "meta": tmp_path / "kinds.csv",
    }
    done = unshaken.audit(
        Light(), f"parquet:{tmp_path / 'd.parquet'}", FOG, slices=["sky,exif.Model,kind"],
        gates=["slice[exif.Model=A].accuracy >= 0", "slice[kind=dull].accuracy >= 0"], **options,
    )  # fmt: skip
    counts = {
        (r["slicing"], r["part"]): r["accuracy"]["n"] for r in done.summary["slices"] if r["condition"] == "clean"
    }
    assert counts == {
        ("sky", "0"): 6, ("sky", "1"): 6, ("exif.Model", "A"): 6, ("exif.Model", "B"): 6, ("kind", "dull"): 8,
        ("kind", "bright"): 4,
    }  # fmt: skip
    every = unshaken.api.slices(done.run, "all", meta=tmp_path / "kinds.csv").summary["slices"]
    names = {r["slicing"] for r in every}
    assert {"kind", "sky", "class", "brightness"} < names
    assert "note" in names  # twelve words
    with pytest.raises(ParameterError, match=r"no tag of EXIF; did you mean 'exif\.Model'"):
        unshaken.api.slices(done.run, "exif.Modell")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slices": "brightnes"}, "no column 'brightnes'; did you mean 'brightness'"),
        ({"slices": ","}, "name a column, or 'all'"),
        ({"slices": HALVES, "part": "1/2"}, "slice is for a whole run, and part 1/2 .* divide the merged run"),
        ({"slices": HALVES, "gates": ["slice[brightness=dark].accuracy >= 0"]}, "no part 'dark' there"),
        ({"slices": HALVES, "gates": ["slice[brightness=below 0.25,condition=fog-2].accuracy >= 0"]}, "'fog-2'"),
        ({"gates": ["slice[brightness=below 0.25].accuracy >= 0"]}, "no slices; .*--slices"),
    ],
)
def test_what_is_wrong_is_refused_before_the_run(options, message, tmp_path):
    with pytest.raises(ParameterError, match=message):
        audit(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_cells_of_a_matrix_have_slices_those_that_were_finished_too(tmp_path):
    def matrix(**options: Any) -> list[str]:
        done = unshaken.matrix(
            {"light": Light()}, {"flat": flat_images()}, {"fog": FOG}, out=tmp_path / "matrix", workers=1, **options
        )
        return sorted({r["slicing"] for r in done.cells[0].summary["slices"]})

    assert matrix() == []
    assert matrix(resume=True, slices="class") == ["class"]
