"""Outputs: every option that names a place to write to refuses what is not the command's own, before any work."""

from __future__ import annotations

import os
import re
import resource
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from unshaken import api
from unshaken.api.label_kinds import find_labels_of_kind
from unshaken.cli.app import build_command
from unshaken.cli.show import LONGEST, one_line
from unshaken.cli.verb import check_output
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.options import Option, OutputFile, OutputFolder, UpdatedFile
from unshaken.papers import freeze, run_paper
from unshaken.store.output import check_folder, replacing
from unshaken.store.run_dir import RunDir


def commands(command: click.Command | None = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    command = command or build_command()
    inside = getattr(command, "commands", None)
    if inside is None:
        yield " ".join(path), command
        return
    for name, one in inside.items():
        yield from commands(one, (*path, name))


def outputs_of(command: click.Command) -> dict[str, Option]:
    return command.callback.__wrapped__.outputs


ALL = [(name, option, output) for name, one in commands() for option, output in outputs_of(one).items()]


def test_every_option_that_names_an_output_is_declared_as_one():
    for name, command in commands():
        for option in command.params:
            text = getattr(option, "help", "") or ""
            writes = option.name in ("out", "into", "db") or re.search(
                r"\b(to write|made if absent|Append a line)\b", text
            )
            if writes and option.param_type_name == "option":
                assert option.name in outputs_of(command), f"unshaken {name} --{option.name}"
        files = [one for one in outputs_of(command).values() if isinstance(one, OutputFile)]
        assert bool(files) == any(one.name == "overwrite" for one in command.params), name


@pytest.mark.parametrize(("name", "option", "output"), ALL, ids=[f"{name} --{option}" for name, option, _ in ALL])
def test_an_output_replaces_nothing_that_is_not_its_own(name, option, output, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    source = mine / "net.py"
    source.write_text("precious")
    os.mkfifo(mine / "pipe")
    (mine / "link").symlink_to(source)
    places = [mine / "pipe", mine / "link", Path("/dev/null"), Path("/dev/full"), source / "inside"]
    places += [mine, source]
    for place in places:
        with pytest.raises(ParameterError, match=re.escape(f"--{option}")):
            check_output(str(place), output, f"--{option}", overwrite=False)
    assert (source.read_text(), sorted(os.listdir(mine))) == ("precious", ["link", "net.py", "pipe"])
    for place in [mine / "new", tmp_path / "a" / "b"]:
        check_output(str(place), output, f"--{option}", overwrite=False)


def test_a_file_is_replaced_when_the_user_says_so(tmp_path):
    (tmp_path / "x.csv").write_text("old")
    check_output(str(tmp_path / "x.csv"), OutputFile("", "FILE"), "--out", overwrite=True)
    with pytest.raises(ParameterError, match="--overwrite"):
        check_output(str(tmp_path / "x.csv"), OutputFile("", "FILE"), "--out", overwrite=False)
    (tmp_path / "grid.png").write_text("photo")
    grid = OutputFile("", "FILE", suffixes=(".png",))
    with pytest.raises(ParameterError, match="beside it"):
        check_output(str(tmp_path / "grid.safetensors"), grid, "--out", overwrite=False)


UPDATED = [one for one in ALL if isinstance(one[2], UpdatedFile)]


@pytest.mark.parametrize(
    ("name", "option", "output"), UPDATED, ids=[f"{name} --{option}" for name, option, _ in UPDATED]
)
def test_a_file_is_brought_up_to_date_where_it_is_of_the_same_kind(name, option, output, tmp_path):
    own = tmp_path / f"own{output.endings[0] if output.endings else ''}"
    own.write_bytes(output.begins + b"and more")
    empty = tmp_path / "empty"
    empty.touch()
    for place in (own, empty):
        check_output(str(place), output, f"--{option}", overwrite=False)
    other = tmp_path / "notes.txt"
    other.write_text("precious")
    with pytest.raises(ParameterError, match=f"is there, and is not {output.kind}: choose another name"):
        check_output(str(other), output, f"--{option}", overwrite=False)
    if option == "db":
        check_output("postgresql://host/reviews", output, "--db", overwrite=False)
        with pytest.raises(ParameterError, match="a database of SQLite"):
            check_output(f"sqlite:///{other}", output, "--db", overwrite=False)
    if output.stream:
        check_output("-", output, f"--{option}", overwrite=False)


def test_a_database_of_another_program_stays_as_it_is(unshaken, place):
    with sqlite3.connect("mine.db") as mine:
        mine.execute("create table accounts (id integer)")
    mine.close()
    before = Path("mine.db").read_bytes()
    done = unshaken("serve . --db mine.db --port 0")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "mine.db holds tables of another program, such as 'accounts': name another file" in done.err
    assert Path("mine.db").read_bytes()[100:] == before[100:]  # the header says that it is read through a log


PHOTOS: dict[str, Callable[[Path], object]] = {
    "audit": lambda out: api.audit("demo", "demo", [], out=out),
    "audit of both": lambda out: api.audit(out=out),
    "attack": lambda out: api.attack("demo", "demo", out=out),
    "certify": lambda out: api.certify("demo", "demo", out=out),
    "explain": lambda out: api.explain("demo", "demo", "gradient", out=out),
    "holistic": lambda out: api.holistic({}, "demo", out=out),
    "harden": lambda out: api.harden("small-cnn", "demo", out=out),
    "merge": lambda out: api.merge("a", "b", out=out),
    "fool": lambda out: api.fool("demo", out=out),
    "labels": lambda out: api.find_labels("demo", "self-confidence", out=out),
    "labels of a kind": lambda out: find_labels_of_kind("masks", "y.npy", "p.npy", out=out),
    "corrupted": lambda out: api.write_corrupted("demo", out, methods=["fog"], limit=2),
    "marked": lambda out: api.mark("demo", "dct", out=out),
    "paper": lambda out: run_paper("mixup-calibration", out=out),
    "frozen paper": lambda out: freeze("mixup-calibration", out=out),
    "generated": lambda out: api.sample_generator("model", 1, out=out),
}


@pytest.mark.parametrize("name", PHOTOS)
def test_a_folder_of_photos_is_refused_in_python_too(name, place):
    before = sorted(os.listdir("photos"))
    with pytest.raises(
        ParameterError, match=r"^out 'photos' holds other files, such as .*choose a new or empty folder"
    ):
        PHOTOS[name](Path("photos"))
    assert sorted(os.listdir("photos")) == before


def test_a_folder_of_the_same_kind_and_an_empty_one_are_taken(tmp_path):
    folder = OutputFolder("", "DIR", records=("run.json",))
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").touch()
    (tmp_path / "run" / "notes.txt").touch()
    for name in ("empty", "run"):
        check_output(str(tmp_path / name), folder, "--out", overwrite=False)
    check_output("s3://bucket/run", folder, "--out", overwrite=False)  # not looked at


@pytest.mark.parametrize(
    "line",
    [
        "audit --model py:net.py:build --data folder:photos --plan fog.yaml --out photos",
        "attack --model demo --data demo --out net.py",
        "corrupt --data demo --out photos",
        "explain gradcam --data demo --out photos",
        "harden --model small-cnn --data demo --method at --out photos",
        "fool --model demo --out photos",
        "generate fit --data demo --out net.py",
        "generate dataset --generator x --n 1 --out net.py",
        "harden surgery add a b --out net.py",
        "detect fit --model demo --data demo --out photos",
        "papers run mixup-calibration --out photos",
        "labels find --data demo --out photos",
        "card done --into /dev/full",
        "papers table --out /dev/full",
    ],
)
def test_a_command_line_ends_in_one_line_and_the_files_are_as_before(line, unshaken, place):
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    result = unshaken(line)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert line.rpartition(" ")[2] in result.err
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_a_run_directory_writes_over_regular_files_alone(tmp_path):
    run = RunDir(tmp_path)
    os.mkfifo(tmp_path / "summary.json")
    with pytest.raises(RunError, match="is a pipe"):
        run.write(b"{}", "summary.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "absent")
    with pytest.raises(RunError, match="is a symbolic link"):
        run.write(b"{}", "link.json")


def test_a_file_that_is_not_finished_leaves_the_old_one(tmp_path):
    (tmp_path / "x").write_text("old")
    with pytest.raises(OSError, match="absent"), replacing(tmp_path / "x") as part:
        part.write_bytes((tmp_path / "absent").read_bytes())
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x", "old")]


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127])
def test_a_file_may_have_the_longest_name(name, tmp_path):
    with replacing(tmp_path / name) as part:
        part.write_text("new")
    RunDir(tmp_path / "run").write(b"{}", name)
    assert (tmp_path / name).read_text() == "new"
    assert os.listdir(tmp_path / "run") == [name]


def test_a_folder_whose_record_another_process_writes_just_now_is_of_its_kind(tmp_path):
    with replacing(tmp_path / "matrix.json") as part:
        part.write_text("{")
        check_folder(tmp_path, "--out", ["matrix.json"])
        with pytest.raises(ParameterError, match=r"holds other files, such as 'matrix.json.unshaken-"):
            check_folder(tmp_path, "--out", ["label-versions.json"])


def test_a_long_message_keeps_what_is_wrong_and_what_to_do():
    line = one_line(f"folder {'long/' * 900} cannot be read (File name too long); choose another")
    assert line.startswith("folder long/long/")
    assert line.endswith("long/ cannot be read (File name too long); choose another")
    assert len(line) == LONGEST


@pytest.mark.parametrize("layout", ["cifar-c", "imagenet-c"])
def test_a_full_disk_ends_corrupt_in_one_line_and_leaves_nothing(layout, unshaken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # no file may be larger, as on a full disk
    try:
        result = unshaken(f"corrupt --data demo --out here --method fog --limit 2 --layout {layout}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (result.code, result.err.count("\n"), list(tmp_path.iterdir())) == (2, 1, [])
    assert "nothing was kept" in result.err
