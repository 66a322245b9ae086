"""Everything that may be wrong with what a user gives: one clear line, the right exit code, no traceback."""

from __future__ import annotations

import importlib
import importlib.util
import os
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.processes import process, run_command

HERE = Path(__file__).parent


def load(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES = load("cli_cases", HERE / "cases.py").read()


@pytest.fixture(scope="module")
def wrongs(tmp_path_factory, world):
    """A folder with everything that is wrong, and two finished runs on other data."""
    from unshaken.cli import main

    folder = tmp_path_factory.mktemp("wrongs")
    before = Path.cwd()
    os.chdir(folder)
    try:
        world.write_good(folder)
        common = "audit --model py:net.py:build --plan fog.yaml --quiet --data"
        assert main([*common.split(), "folder:photos", "--out", "done"]) == 0
        world.write_bad(folder)
        assert main([*common.split(), "parquet:good.parquet", "--out", "other"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def inside(wrongs, monkeypatch, tmp_path):
    monkeypatch.chdir(wrongs)
    monkeypatch.delenv("UNSHAKEN_DATA", raising=False)
    for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    before = set(os.listdir(wrongs))
    yield wrongs
    shutil.rmtree(wrongs / "new", ignore_errors=True)
    assert set(os.listdir(wrongs)) <= before, "a file was left where none should be"


@pytest.mark.parametrize("case", CASES, ids=[f"{c.kind}: {c.typed.removeprefix('unshaken ')}" for c in CASES])
def test_one_clear_line_and_the_exit_code(case, inside, unshaken):
    done = unshaken(*case.arguments)
    assert done.code == case.code
    assert case.fits(done.err), done.err
    assert "Traceback" not in done.err
    if case.code == 2:
        assert done.err.count("\n") == 1
        assert done.out == ""


def test_the_table_covers_every_kind():
    counts = Counter(case.kind for case in CASES)
    kinds = {
        "model",
        "data",
        "image file",
        "label",
        "plan",
        "gate",
        "option",
        "detector",
        "path",
        "run directory",
        "SQL",
    }
    assert counts.keys() == kinds
    assert min(counts.values()) >= 3
    assert counts.total() >= 150


def test_the_readable_table_is_made_from_the_cases():
    script = load("bad_inputs_table", HERE.parents[1] / "scripts" / "bad_inputs_table.py")
    assert script.PAGE.read_text(encoding="utf-8") == script.page(CASES)


def test_another_process_says_the_same(inside, tmp_path):
    case = next(c for c in CASES if c.kind == "model")
    printed = tmp_path / "printed"
    with process(run_command, case.arguments, {}, folder=Path.cwd(), printed=printed) as child:
        child.join(200)
        assert child.exitcode == case.code
    assert case.fits(printed.read_text()), printed.read_text()


def test_a_package_that_is_absent_is_named_with_its_extra(inside, unshaken, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    done = unshaken("audit --model timm:resnet18 --data folder:photos --plan fog.yaml --out new")
    assert done.code == 2
    assert "pip install 'unshaken[models]'" in done.err or "does not import here" in done.err
    assert done.err.count("\n") == 1


def test_ids_that_are_paths_stay_ids(inside, unshaken):
    typed = "audit --model py:net.py:build --data parquet:paths-as-ids.parquet --plan fog.yaml --out new"
    done = unshaken(f"{typed} --save-examples all")
    assert done.code == 0
    assert not list(inside.parent.rglob("escaped*"))
    names = {p.relative_to(inside / "new").parts[0] for p in (inside / "new").rglob("*")}
    assert names == {"run.json", "rows", "examples", "summary.json", "report.html", "report.md"}


@pytest.mark.parametrize("data", ["hostile", "markup"])
def test_markup_in_names_of_classes_and_files_is_text_in_pages(data, inside, unshaken):
    done = unshaken(f"audit --model py:net.py:build?classes=2 --data folder:{data} --plan fog.yaml --out new")
    assert done.code == (3 if data == "markup" else 0)
    page = (inside / "new/report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "alert(1)" in page  # it is shown, as text


def test_flags_are_told_where_tables_are_not(inside, unshaken, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("dark\t0\nlight\t1\n")
    done = unshaken(f"audit --model demo --data folder:photos?classes={names} --plan fog.yaml --out new --quiet")
    assert (done.code, done.out) == (0, "new/report.html\n")
    assert any(line.startswith("flag near-chance: clean accuracy 0.000") for line in done.err.splitlines())


BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def generators(monkeypatch):
    """The modules that make wrong command lines and damaged files."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("_wrong_calls"), importlib.import_module("_hostile_files")


def check_message(result, right):
    assert "this is a bug" not in result.err
    assert result.code in right
    assert result.code != 2 or result.err.count("\n") == 1
    assert all(line.isprintable() for line in result.err.splitlines())


def test_wrong_invocations_are_told(unshaken, place, generators):
    dice = random.Random(1)
    for _ in range(15):
        arguments = generators[0].wrong_call(dice)
        if arguments[1] != "score":  # there are no detectors here
            check_message(unshaken(*arguments), (2,))
    assert not (place / "new/run.json").exists()


@pytest.mark.parametrize("name", ["photos/dark/0.png", "fog.yaml"])
def test_damaged_files_are_told(unshaken, place, generators, name):
    dice = random.Random(0)
    good = (place / name).read_bytes()
    for number in range(2):
        how = generators[1].damage(place / name, dice)
        check_message(
            unshaken(*generators[0].replaced(generators[0].BASES["audit"], "--out", f"new{number}")), (0, 2, 3)
        )
        if how == "folder":
            (place / name).rmdir()
        else:
            (place / name).unlink()
        (place / name).write_bytes(good)


def test_a_training_option_that_there_is_not_is_told(unshaken, place):
    result = unshaken("harden --model small --data folder:photos --out new --set schedul=step")
    check_message(result, (2,))
    assert "there is no training option 'schedul'; did you mean 'schedule'?" in result.err
