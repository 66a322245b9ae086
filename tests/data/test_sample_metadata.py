"""Columns about samples joined by id: three file formats with one answer, and what is refused."""

from __future__ import annotations

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unshaken.core.errors import DataError
from unshaken.data.sample_metadata import read_metadata

ROWS = [
    {"id": "b", "weather": "night", "lux": 0.5, "camera": 2},
    {"id": "a", "weather": None, "lux": 9.5, "camera": 1},
    {"id": "other", "weather": "day", "lux": 1.0, "camera": 3},
]


def test_formats_give_the_same_columns_in_the_order_of_the_samples(tmp_path):
    lines = ["id,weather,lux,camera", *(f"{r['id']},{r['weather'] or ''},{r['lux']},{r['camera']}" for r in ROWS)]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "m.parquet")
    for ending in ("csv", "jsonl", "parquet"):
        found = read_metadata(tmp_path / f"m.{ending}", ["a", "b"])
        assert found == {"weather": [None, "night"], "lux": [9.5, 0.5], "camera": [1, 2]}


def test_numbers_are_ids_and_bytes_lists_and_times_are_no_numbers(tmp_path):
    day = datetime.date(2024, 5, 1)
    rows = [{"id": 7, "image": b"\x89PNG", "boxes": [1.0], "taken": day}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "m.parquet")
    assert read_metadata(tmp_path / "m.parquet", ["7"]) == {"taken": ["2024-05-01"]}
    (tmp_path / "m.csv").write_text("id,x\n007,1\n")
    assert read_metadata(tmp_path / "m.csv", ["007"]) == {"x": [1]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "name,x\na,1\n", "needs a column 'id'; its columns: name, x"),
        ("m.csv", "id\na\n", "no column of words or numbers beside 'id'"),
        ("m.csv", "id,x\na,1\na,2\n", "1 ids more than once, such as 'a'"),
        ("m.csv", "id,x\nc,1\n", "lacks 1 of 1 samples, such as 'a'; its own ids are like 'c'"),
        ("m.csv", "", "cannot be read"),
        ("m.jsonl", "{", "cannot be read"),
        ("m.parquet", "PAR1", "cannot be read"),
        ("m.txt", "id,x\n", r"must end in \.csv"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_metadata(tmp_path / name, ["a"])
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="absent"):
        read_metadata(tmp_path / "absent.csv", ["a"])
