"""A stranger's parquet file that would abort this process or fill its memory is refused by what another one met."""

from __future__ import annotations

import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unshaken.core.errors import DataError
from unshaken.data import load_data, parquet_check


@pytest.fixture
def table(tmp_path, make):
    """A file with `rows` images and labels."""

    def write(label, rows=1, **options):
        columns = {"image": [make.encode(make.noise())] * rows, "label": [label] * rows}
        pq.write_table(pa.table(columns), tmp_path / "a.parquet", **options)
        return tmp_path / "a.parquet"

    return write


def refused(path):
    with pytest.raises(DataError) as error:
        load_data(f"parquet:{path}")
    text = str(error.value)
    assert text.startswith(f"data 'parquet:{path}': a.parquet is damaged or made to do harm (reading it ")
    assert text.endswith("); get it again")
    assert "\n" not in text
    return text


def test_an_index_that_aborts_pyarrow(table):
    path = table(1)
    whole = path.read_bytes()
    optional, required = b"\x25\x02\x18\x05label", b"\x25\x00\x18\x05label"  # its level histogram is then too long
    assert whole.count(optional) == 1
    path.write_bytes(whole.replace(optional, required))
    assert "ends the process: SIGABRT" in refused(path)


def test_a_long_text_that_every_row_names(table, monkeypatch):
    monkeypatch.setattr(parquet_check, "SMALL", 1 << 22)
    path = table("x" * (1 << 20), rows=40, compression="zstd", dictionary_pagesize_limit=1 << 30)
    assert path.stat().st_size < 20_000
    assert pq.read_metadata(path).row_group(0).column(1).total_uncompressed_size < 1.1 * (1 << 20)
    assert "takes more than 4 MB" in refused(path)


def test_a_file_that_takes_too_long(table, monkeypatch):
    monkeypatch.setattr(parquet_check, "PATIENCE", 0.001)
    assert "takes more than 0.001 s" in refused(table(1))


def test_a_file_is_read_through_once_for_each_state(table, monkeypatch):
    started = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: started.append(args) or run(*args, **options))
    path = table("a", rows=300)
    assert len(load_data(f"parquet:{path}")) == len(load_data(f"parquet:{path}")) == 300
    assert len(started) == 1
    table("a", rows=299)
    assert len(load_data(f"parquet:{path}")) == 299
    assert len(started) == 2


def test_of_a_large_file_the_index_alone_is_read(table, monkeypatch):
    path = table("x" * (1 << 20), rows=40, compression="zstd", dictionary_pagesize_limit=1 << 30)
    monkeypatch.setattr(parquet_check, "SMALL", 1 << 10)
    parquet_check.check_parquet(path, ["image", "label"], "here")


def test_the_embedded_sample_is_not_checked(monkeypatch):
    monkeypatch.setattr("unshaken.data.parquet.check_parquet", None)
    assert len(load_data("demo")) == 1000
