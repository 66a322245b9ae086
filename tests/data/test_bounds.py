"""What a small file claims to hold is bounded before memory is taken for it."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from unshaken.core.errors import DataError, ModelError
from unshaken.data import BadSample, load_data
from unshaken.models.loaders.weights import read_weights


@pytest.fixture
def small(monkeypatch):
    """Bounds of a megabyte, so that no test needs more."""
    monkeypatch.setattr("unshaken.data.spec.SMALL", 1 << 20)
    monkeypatch.setattr("unshaken.data.decode.MOST_BYTES", 1 << 20)


ZEROS = bytes(3 << 20)


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
@pytest.mark.parametrize("column", ["image", "label"])
def test_a_huge_value_in_a_small_table(small, tmp_path, make, column, compression):
    columns = {"image": [make.encode(make.noise())], "label": ["a"]}
    columns[column] = [ZEROS if column == "image" else ZEROS.decode()]
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", compression=compression)
    with pytest.raises(DataError, match=r"a\.parquet claims 3,[0-9,]+ bytes in a file of .*, which no"):
        load_data(f"parquet:{tmp_path}/a.parquet")


def test_a_huge_value_in_a_large_table(small, tmp_path, make):
    pq.write_table(pa.table({"image": [make.encode(make.noise()), ZEROS]}), tmp_path / "a.parquet", compression="none")
    data = load_data(f"parquet:{tmp_path}/a.parquet")
    assert data.read(0).shape
    with pytest.raises(BadSample, match="the file has 3,145,728 bytes; 1,048,576 are the most for an image"):
        data.read(1)


def shard(path, mode):
    with tarfile.open(path, mode) as tar:
        info = tarfile.TarInfo("a.png")
        info.size = len(ZEROS)
        tar.addfile(info, io.BytesIO(ZEROS))
    return path


def test_a_packed_shard_of_zeros(small, tmp_path):
    with pytest.raises(DataError, match=r"a\.tar\.gz claims 3,[0-9,]+ bytes in a file of .*, which no"):
        load_data(f"wds:{shard(tmp_path / 'a.tar.gz', 'w:gz')}")


def test_a_huge_image_in_a_shard(small, tmp_path):
    data = load_data(f"wds:{shard(tmp_path / 'a.tar', 'w')}")
    with pytest.raises(BadSample, match="1,048,576 are the most for an image"):
        data.read(0)


def test_a_huge_image_file(small, tmp_path):
    (tmp_path / "a.png").touch()
    os.truncate(tmp_path / "a.png", 40 << 30)
    with pytest.raises(BadSample, match="the file has 42,949,672,960 bytes"):
        load_data(f"folder:{tmp_path}").read(0)


def test_a_packed_checkpoint_of_zeros(tmp_path):
    torch.save({"weight": torch.zeros(300)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain:
        names = {n: plain.read(n) for n in plain.namelist()}
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb:
        for name, data in names.items():
            bomb.writestr(name, data)
        with bomb.open("archive/data/0", "w", force_zip64=True) as entry:
            for _ in range(257):
                entry.write(bytes(1 << 20))
    assert read_weights(tmp_path / "plain.pt")["weight"].shape == (300,)
    with pytest.raises(ModelError, match=r"bomb\.pt claims 269,[0-9,]+ bytes in a file of .*, which no"):
        read_weights(tmp_path / "bomb.pt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("device", ["/dev/zero", "pipe"])
def test_a_device_in_the_place_of_a_file_of_a_run(tmp_path, device):
    from unshaken.core.errors import RunError
    from unshaken.store.config import read_config
    from unshaken.store.run_dir import RunDir

    if device == "pipe":
        os.mkfifo(tmp_path / "run.json")
    else:
        (tmp_path / "run.json").symlink_to(device)
    (tmp_path / "rows/outcomes").mkdir(parents=True)
    (tmp_path / "rows/outcomes/clean-00000.parquet").symlink_to(tmp_path / "run.json")
    for read in (read_config, lambda run: run.rows("outcomes"), RunDir.check_marks):
        with pytest.raises(RunError, match="is no regular file; delete it"):
            read(RunDir(tmp_path))


def test_a_damaged_index_is_told(tmp_path, make):
    """Found by changing bytes at random: the index of a dictionary points behind its end."""
    names = [make.encode(make.noise(seed=seed)) for seed in range(3)]
    pq.write_table(pa.table({"image": names * 4, "id": [str(i) for i in range(12)]}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    reported = 0
    for place in range(len(whole) - 700, len(whole) - 8, 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        (tmp_path / "b.parquet").write_bytes(damaged)
        try:
            data = load_data(f"parquet:{tmp_path}/b.parquet")
            for index in range(len(data)):
                data.read(index)
        except (DataError, BadSample):
            reported += 1
    assert reported
