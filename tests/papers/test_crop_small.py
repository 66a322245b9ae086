import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unshaken.core.errors import DataError
from unshaken.papers._crop_small import SmallExperiment
from unshaken.papers.base import Bench
from unshaken.run.store import RunDir


def picture(rng, label):
    """Noise in which one of three channels is bright."""
    pixels = rng.integers(0, 216, (32, 32, 3))
    pixels[..., label] += 40
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny set in the place of CIFAR-10, with three classes."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    (root / "cifar10").mkdir()
    for split, n in (("train", 256), ("test", 48)):
        labels = rng.integers(0, 3, n)
        table = {"id": [f"{split}/{i}" for i in range(n)], "image": [picture(rng, k) for k in labels], "label": labels}
        pq.write_table(pa.table(table), root / "cifar10" / f"{split}.parquet")
    return root


@pytest.fixture
def experiment(place, tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(place))
    monkeypatch.setenv("UNSHAKEN_CACHE", str(place / "cache"))
    return SmallExperiment(Bench(seed=0, run=RunDir(tmp_path / "run"), data="-", model="-"), photos=40, epochs=1)


def test_two_networks_are_trained_judged_and_kept(experiment):
    first = experiment.run()
    plain = first["looks"]["as-trained"]["plain-28"]
    assert plain["accuracy"]["n"] == 40
    assert plain["forwards"] == 9
    assert set(first["looks"]["on-crops"]) == {"hash-24", "hash-22", "hash-20"}
    assert all(1 <= look["forwards"] <= 9 for look in first["looks"]["on-crops"].values())
    assert first["law"] == {"24": 0.1837, "22": 0.3086, "20": 0.405}
    assert first["same_crop"]["hash"]["20"]["value"] == pytest.approx(0.405, abs=0.25)  # 3.2 standard errors of 40
    assert first["networks_from_cache"] is False
    changed = first["against_plain"]["on-crops"]["hash-20"]["accuracy"]["value"]
    assert changed == pytest.approx(
        first["looks"]["on-crops"]["hash-20"]["accuracy"]["value"] - plain["accuracy"]["value"]
    )
    again = experiment.run()
    assert again == {**first, "networks_from_cache": True}


def test_absent_data_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataError, match="cifar10"):
        SmallExperiment(Bench(seed=0, run=RunDir(tmp_path), data="-", model="-"), photos=4, epochs=1)
