"""A run directory: files whole or absent, one clear line when the disk fails."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import sys
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

from unshaken.core.errors import ParameterError, RunError
from unshaken.core.part import CLEAN, Part
from unshaken.store import run_dir
from unshaken.store.run_dir import RunDir, consistent
from unshaken.store.tables import schema_of, table_of
from unshaken.store.tensor_file import TensorFile


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "run")


def table(*ids):
    return table_of(Part("outcomes", CLEAN, {"id": list(ids)}))


def failing(number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return fail


def files_of(run):
    return sorted(os.path.join(d, n) for d, _, names in os.walk(run.root) for n in names)


@pytest.mark.parametrize("where", ["fsync", "replace", "open"])
def test_a_failing_write_leaves_the_old_file(run, monkeypatch, where):
    run.write(b"old", "a", "b.txt")
    with monkeypatch.context() as patch:
        if where == "open":
            patch.setattr(builtins, "open", failing(errno.ENOSPC))
        else:
            patch.setattr(os, where, failing(errno.ENOSPC))
        with pytest.raises(RunError) as caught:
            run.write(b"new", "a", "b.txt")
    assert "the disk is full; finished results are saved: free some space" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert run.read("a", "b.txt") == b"old"
    assert files_of(run) == [run.at("a", "b.txt")]  # no temporary file stays


def test_a_half_written_file_is_never_seen(run, monkeypatch):
    class Half:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, data):
            self.file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    real = builtins.open
    monkeypatch.setattr(
        builtins, "open", lambda path, *a: Half(real(path, *a)) if ".tmp" in str(path) else real(path, *a)
    )
    with pytest.raises(RunError, match="disk is full"):
        run.write_rows(table("x", "y"), "outcomes", "clean", 0)
    assert run.finished() == set()
    assert files_of(run) == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*; choose another --out"):
        RunDir(tmp_path / "file" / "run").write(b"", "x")


@pytest.mark.skipif(sys.platform != "linux", reason="paths are shorter")
@pytest.mark.parametrize("name", ["r" * 256, "/".join(["r" * 99] * 40)])
def test_a_path_that_is_too_long_is_refused(name, tmp_path):
    with pytest.raises(RunError, match=r"cannot write \(File name too long\); choose another --out"):
        RunDir(tmp_path / name).write(b"", "x")


def test_an_interrupt_while_writing_leaves_the_old_file(run, monkeypatch):
    run.write(b"old", "b.txt")

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run.write(b"new", "b.txt")
    assert run.read("b.txt") == b"old"
    assert files_of(run) == [run.at("b.txt")]


def test_rows_come_back(run):
    run.write_rows(table("a", "b"), "outcomes", "clean", 0)
    run.write_rows(table("c"), "outcomes", "clean", 12)
    assert run.rows("outcomes").schema.equals(schema_of("outcomes"))
    assert run.rows("outcomes", ["id"]).to_pydict() == {"id": ["a", "b", "c"]}
    assert run.finished() == {("clean", 0), ("clean", 12)}
    assert run.has_rows("outcomes", "clean", 12)
    assert not run.has_rows("outcomes", "clean", 1)


def test_the_files_of_other_conditions_are_not_read(run):
    for condition in ("fog-3", "fog-3-4", "fog"):
        run.write_rows(
            table_of(Part("outcomes", replace(CLEAN, id=condition), {"id": [condition]})), "outcomes", condition, 0
        )
    run.write(b"damaged", "rows", "outcomes", "fog-00000.parquet")
    assert run.rows("outcomes", ["id"], condition="fog-3").to_pydict() == {"id": ["fog-3"]}
    assert run.rows("outcomes", condition="snow").num_rows == 0
    with pytest.raises(RunError, match="fog-00000"):
        run.rows("outcomes", condition="fog")


def test_an_absent_table_is_empty(run):
    assert run.rows("outcomes", ["id", "loss"]).column_names == ["id", "loss"]
    assert run.rows("flags").num_rows == 0


@pytest.mark.parametrize("column", ["label", "prediction"])
def test_a_class_beyond_all_numbers_of_classes_is_damage(run, column):
    rows = Part("outcomes", CLEAN, {"id": ["a", "b"], column: [1, 10**15]})
    run.write_rows(table_of(rows), "outcomes", "clean", 0)
    with pytest.raises(RunError, match=rf"clean-00000\.parquet is damaged \(the {column} 1000000000000000 is no class"):
        run.rows("outcomes")


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * len(b)])
def test_damaged_rows_are_named(run, damage):
    run.write_rows(table("a"), "outcomes", "fog-3", 7)
    whole = run.read("rows", "outcomes", "fog-3-00007.parquet")
    run.write(damage(whole), "rows", "outcomes", "fog-3-00007.parquet")
    with pytest.raises(RunError, match=r"rows/outcomes/fog-3-00007\.parquet is damaged .*; delete it and resume"):
        run.rows("outcomes")


def test_leftovers_of_a_killed_write_are_not_rows(run):
    run.write_rows(table("a"), "outcomes", "clean", 0)
    run.write(b"half", "rows", "outcomes", "clean-00001.parquet.0123.tmp")
    assert run.rows("outcomes").num_rows == 1
    assert run.finished() == {("clean", 0)}
    assert run.names("rows", "outcomes") == ["clean-00000.parquet"]


def test_sweep_removes_leftovers_and_nothing_else(run):
    run.write_rows(table("a"), "outcomes", "clean", 0)
    left = f"unshaken-{'0123456789abcdef' * 2}.tmp"
    run.write(b"half", "rows", "outcomes", f"clean-00001.parquet.{left}")
    run.write(b"half", f"run.json.{left}")
    kept = [("notes.tmp",), ("photos", "a.png.tmp"), ("inside", "run.json"), ("inside", "rows", f"x.parquet.{left}")]
    for name in kept:  # the user's own, and those of a run inside this one
        run.write(b"mine", *name)
    run.sweep()
    assert files_of(run) == sorted([run.at("rows", "outcomes", "clean-00000.parquet"), *(run.at(*k) for k in kept)])
    RunDir("memory://test-store/empty").sweep()


def test_json(run):
    run.write_json({"a": [1, 0.5]}, "x.json")
    assert run.read_json("x.json") == {"schema": 1, "a": [1, 0.5]}
    run.write(b"{", "x.json")
    with pytest.raises(RunError, match=r"x\.json is damaged"):
        run.read_json("x.json")
    with pytest.raises(RunError, match=r"cannot read y\.json"):
        run.read_json("y.json")
    with pytest.raises(ValueError, match="JSON"):
        run.write_json({"a": float("nan")}, "z.json")


def test_examples_are_readable_by_anyone(run):
    images = torch.rand(2, 1, 4, 4)
    run.write_examples(images, ["a", "b/c"], "fog-3", 1)
    with safe_open(run.at("examples", "fog-3-00001.safetensors"), "pt") as file:
        assert torch.equal(file.get_tensor("images"), images)
        assert json.loads(file.metadata()["ids"]) == ["a", "b/c"]
    run.write_examples(images[:1], ["d"], "fog-3", 2)
    run.write_examples(images[:1], ["e"], "fog-31", 2)
    assert list(run.examples("fog-3")) == ["a", "b/c", "d"]
    assert torch.equal(run.examples("fog-3")["b/c"], images[1])
    assert run.example_ids(2, ["fog-3", "fog-31", "fog-1"]) == {"d", "e"}
    assert run.example_ids(2, ["fog-3"]) == {"d"}


def test_memory_and_unknown_places():
    run = RunDir("memory://test-store/run")
    run.write_rows(table("a"), "outcomes", "clean", 0)
    assert run.finished() == {("clean", 0)}
    run.remove("rows", "outcomes", "clean-00000.parquet")
    run.remove("rows", "outcomes", "clean-00000.parquet")
    assert run.finished() == set()
    with pytest.raises(RunError, match="nowhere://x"):
        RunDir("nowhere://x")


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("by 0"), KeyError("fog"), RuntimeError("shape\n[3]"), TypeError("x")]
)
def test_files_that_do_not_fit_are_one_line_that_names_the_run_and_keeps_the_cause(run, error):
    with pytest.raises(RunError, match=f"^{run}: its files do not fit one another") as met, consistent(run):
        raise error
    assert met.value.__cause__ is error
    assert "\n" not in str(met.value)


@pytest.mark.parametrize("error", [ParameterError("no labels"), KeyboardInterrupt(), MemoryError(), OSError(5, "disk")])
def test_other_errors_stay_what_they_are(run, error):
    with pytest.raises(type(error)) as met, consistent(run):
        raise error
    assert met.value is error


@pytest.mark.parametrize("target", ["gone", "gates.json"])
def test_a_link_to_nothing_is_no_absent_file(run, target):
    os.makedirs(run.root)
    os.symlink(target, run.at("gates.json"))
    assert run.exists("gates.json")
    with pytest.raises(RunError, match=r"gates\.json is no regular file; delete it"):
        run.read("gates.json")
    run.remove("gates.json")
    assert not run.exists("gates.json")


def test_a_changed_bit_of_a_value_is_refused(run):
    rows = table(*(f"sample {i}" for i in range(3)))
    rows = rows.set_column(rows.column_names.index("loss"), "loss", pa.array([0.1, 2.0, 30.0], pa.float32()))
    run.write_rows(rows, "outcomes", "clean", 0)
    whole = run.read("rows", "outcomes", "clean-00000.parquet")
    chunks = pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(0)
    (loss,) = (c for c in map(chunks.column, range(chunks.num_columns)) if c.path_in_schema == "loss")
    last = (loss.dictionary_page_offset or loss.data_page_offset) + loss.total_compressed_size - 1
    for bit in range(8):
        changed = bytearray(whole)
        changed[last] ^= 1 << bit
        run.write(bytes(changed), "rows", "outcomes", "clean-00000.parquet")
        with pytest.raises(RunError, match=r"rows/outcomes/clean-00000\.parquet is damaged"):
            run.rows("outcomes")


def test_kept_images_are_mapped_anew_and_written_without_a_copy(run, monkeypatch):
    images = torch.rand(2, 3, 4, 5)
    file = TensorFile({"images": images}, ["a", "b"])
    monkeypatch.setattr(TensorFile, "to_bytes", lambda self: 1 / 0)  # the copy
    run.write_examples(images, ["a", "b"], "fog-3", 0)
    monkeypatch.undo()
    assert run.read("examples", "fog-3-00000.safetensors") == file.to_bytes()
    assert isinstance(run.examples("fog-3"), dict)
    monkeypatch.setattr(run_dir, "LARGE_EXAMPLE", 3 * 4 * 5 * 4 - 1)
    kept = run.examples("fog-3")
    assert kept["a"] is not kept["a"]  # what was read of it goes with it
    assert torch.equal(kept["a"], images[0])
    assert (list(kept), len(kept), "c" in kept) == (["a", "b"], 2, False)


@pytest.mark.parametrize("shapes", [{"images": (2, 3, 4, 5)}, {"b": (3,), "a": (2, 2), "c": ()}, {"a": (0, 3)}, {}])
def test_a_file_of_tensors_in_pieces_is_that_of_safetensors(shapes):
    tensors = {name: torch.rand(shape) for name, shape in shapes.items()}
    file = TensorFile(tensors, ['a"b', "\\é\n", "c"])
    assert b"".join(file.pieces()) == file.to_bytes()
    mixed = TensorFile({**tensors, "n": torch.arange(3)}, ["a"])
    assert b"".join(mixed.pieces()) == mixed.to_bytes()
