import io
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unshaken.core.errors import DataError
from unshaken.papers import run_paper
from unshaken_papers.crop_selection import CropSelectionPaper


def picture(rng, label):
    """Noise in which one of three channels is bright."""
    pixels = rng.integers(0, 216, (32, 32, 3))
    pixels[..., label % 3] += 40
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny set in the place of CIFAR-10, with its ten classes."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    (root / "cifar10").mkdir()
    for split, n in (("train", 256), ("test", 48)):
        labels = np.arange(n) % 10
        table = {"id": [f"{split}/{i}" for i in range(n)], "image": [picture(rng, k) for k in labels], "label": labels}
        pq.write_table(pa.table(table), root / "cifar10" / f"{split}.parquet")
    return root


@pytest.fixture
def run(place, monkeypatch):
    """Runs both parts of the row, on demonstration images and on the tiny set."""
    monkeypatch.setenv("UNSHAKEN_DATA", str(place))
    monkeypatch.setenv("UNSHAKEN_CACHE", str(place / "cache"))
    monkeypatch.setattr(CropSelectionPaper, "data", "demo")
    monkeypatch.setattr(CropSelectionPaper, "model", "demo:standard")
    return partial(run_paper, "crop-selection:photos=8,far_photos=2,cifar_photos=40,epochs=1,seeds=2")


def test_two_networks_of_each_seed_are_trained_judged_and_kept(run, tmp_path):
    first = run(out=tmp_path / "run").measured
    small = {k.removeprefix("cifar10."): v for k, v in first.items() if k.startswith("cifar10.")}
    assert small["looks.as-trained.plain-28.accuracy"]["n"] == 2
    assert small["looks.as-trained.plain-28.forwards"]["value"] == 9
    forwards = {
        k.split(".")[2]: v["value"] for k, v in small.items() if k.startswith("looks.on-crops.") and "forw" in k
    }
    assert forwards.keys() == {f"{kind}-{m}" for kind in ("hash", "centre") for m in (24, 22, 20)}
    assert all(1 <= forwards[f"hash-{m}"] <= forwards[f"centre-{m}"] == 9 for m in (24, 22, 20))
    assert [small[f"law.{m}"] for m in (24, 22, 20)] == [0.1837, 0.3086, 0.405]
    assert small["same_crop.hash.20"]["value"] == pytest.approx(0.405, abs=0.25)  # 3.2 standard errors of 40
    assert first["networks_from_cache"] is False
    assert first["photos.far.pixels"] == 2  # the margin of these photos
    assert first["photos.far.hash-28.accuracy"]["n"] == 2
    accuracies = [small[f"looks.{k}.accuracy"]["value"] for k in ("on-crops.hash-20", "as-trained.plain-28")]
    changed = small["against_plain.on-crops.hash-20.accuracy"]["value"]
    assert changed == pytest.approx(accuracies[0] - accuracies[1])
    failures = [small[f"looks.on-crops.{k}-22.label_failures"]["value"] for k in ("centre", "hash")]
    assert small["against_centre.hash-22.stable"]["value"] == pytest.approx(failures[0] - failures[1])
    again = run(out=tmp_path / "again").measured
    assert again == {**first, "networks_from_cache": True}
    rows = tmp_path / "run" / "rows" / "outcomes"
    for file in sorted(rows.glob("small.s1.on-crops.*")):
        file.unlink()
    assert run(out=tmp_path / "run").measured == first


def test_absent_data_is_named_before_any_rows(run, tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataError, match="cifar10"):
        run(out=tmp_path / "run")
    assert not (tmp_path / "run" / "rows").exists()
