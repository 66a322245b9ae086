"""Outputs: every option that names a place to write to refuses what is not the command's own, before any work."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from unshaken.cli.app import build_command
from unshaken.cli.verb import check_output
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.options import Option, OutputFile, OutputFolder, UpdatedFile
from unshaken.store.output import replacing
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
            writes = option.name in ("out", "into") or re.search(r"\b(to write|made if absent)\b", text)
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
    places += (
        [mine, source]
        if isinstance(output, OutputFolder)
        else [mine, *([] if isinstance(output, UpdatedFile) else [source])]
    )
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
        "harden --model small-cnn --data demo --recipe at --out photos",
        "fool --model demo --out photos",
        "generate fit --data demo --out net.py",
        "generate dataset --model x --n 1 --out net.py",
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


@pytest.mark.parametrize("layout", ["cifar-c", "imagenet-c"])
def test_a_full_disk_ends_corrupt_in_one_line_and_leaves_nothing(layout, unshaken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # no file may be larger, as on a full disk
    try:
        result = unshaken(f"corrupt --data demo --out here --corruption fog --limit 2 --layout {layout}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (result.code, result.err.count("\n"), list(tmp_path.iterdir())) == (2, 1, [])
    assert "nothing was kept" in result.err
