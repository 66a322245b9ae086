"""The program as a whole: help, version, how it begins and how it fails."""

from __future__ import annotations

import errno
import io
import re
import shlex
import signal
import subprocess
import sys
import warnings
from importlib.metadata import version
from multiprocessing import Pipe

import pytest

from tests.processes import process, run_command
from unshaken import api
from unshaken.cli.advice import epilog
from unshaken.cli.app import build_command, main
from unshaken.cli.session import Session, progress
from unshaken.core.errors import RunWarning
from unshaken.core.options import declared
from unshaken.core.progress import track
from unshaken.run.plan import PLANS
from unshaken.store import run_dir as store

AUDIT = "audit --model py:net.py:build --data folder:photos --plan fog.yaml --out run"
VERBS = ("audit", "attack", "matrix", "report", "compare", "merge", "query", "list", "doctor", "papers")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]], ids=["none", "--help", "-h"])
def test_help_names_every_verb(arguments, capsys):
    from unshaken.cli import main

    assert main(arguments) == 0
    captured = capsys.readouterr()
    lines = [line.strip("│ ").split(" ")[0] for line in captured.out.splitlines()]
    assert [line for line in lines if line in VERBS] == list(VERBS)
    assert captured.err == ""


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, unshaken):
    done = unshaken(f"{verb} --help")
    assert (done.code, done.err) == (0, "")
    assert f"unshaken {verb}" in done.out
    valued = [line for line in done.out.splitlines() if "<bool>" in line and "-h " not in line]
    assert valued == []  # a flag takes no value; that of --help is typer's own


def test_audit_and_attack_have_the_options_of_a_run(unshaken):
    common = [
        "--limit",
        "--seed",
        "--out",
        "--resume",
        "--on-error",
        "--device",
        "--precision",
        "--batch-size",
        "--engine",
        "--gate",
        "--baseline",
        "--download",
        "--save-examples",
        "--workers",
        "--strict-batch",
        "--json",
        "--quiet",
        "--debug",
    ]
    for verb in ("audit", "attack"):
        shown = unshaken(f"{verb} --help-all").out
        assert [option for option in common if option not in shown] == []


def commands_below(command, words=()):
    yield " ".join(words), command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands_below(one, (*words, name))


def first_options(command):
    return getattr(command.callback, "first", "")


def options_shown(text):
    return set(re.findall("^│ [* ]{0,4}(--[a-z-]+)", text, re.MULTILINE))


SHORT = {words: first_options(one).split() for words, one in commands_below(build_command()) if first_options(one)}


@pytest.mark.parametrize(("words", "first"), SHORT.items())
def test_help_shows_six_options_and_help_all_every_one(words, first, unshaken):
    short, whole = (unshaken(f"{words} --{flag}") for flag in ("help", "help-all"))
    assert (short.code, whole.code, short.err, whole.err) == (0, 0, "", "")
    command = dict(commands_below(build_command()))[words]
    every = {max(p.opts, key=len) for p in command.params if p.param_type_name == "option" and not p.hidden}
    assert len(first) == 6
    assert options_shown(short.out) == {f"--{name}" for name in first} | {"--help", "--help-all"}
    assert every <= set(re.findall(r"--[a-z][a-z-]*", whole.out))
    assert f"Show {len(every) - 6} more options and exit." in " ".join(short.out.replace("│", " ").split())


def test_each_command_of_many_options_has_a_short_help():
    many = {
        w for w, one in commands_below(build_command()) if sum(p.param_type_name == "option" for p in one.params) > 13
    }
    assert many == set(SHORT)


def test_every_option_of_a_run_in_python_is_one_here():
    shown = {option.name: option.default for option in build_command().commands["audit"].params}
    for name, (_, option) in declared().items():
        assert shown[name] == (option.default or None if name in ("gates", "slices") else option.default)


def test_every_option_of_a_run_is_passed_on(unshaken, place, monkeypatch):
    class Stop(Exception):
        """What ends the command."""

    def record(*_, **options):
        given.update(options)
        raise Stop

    given = {}
    monkeypatch.setattr(api, "audit", record)
    unshaken(f"{AUDIT} --gate 'clean.accuracy >= 0.5' --save-examples all --batch-size 7 --share --eot 3")
    chosen = {"gates": ["clean.accuracy >= 0.5"], "save_examples": -1, "batch_size": 7, "share": True, "eot": 3}
    usual = {name: option.default for name, (_, option) in declared().items()}
    plain = {name: value for name, value in given.items() if name not in ("out", "limit", "seed", "device")}
    assert plain == {name: value for name, value in {**usual, **chosen}.items() if name in plain}
    assert given.keys() == usual.keys()


def test_version(unshaken):
    assert unshaken("--version").out == f"unshaken {version('unshaken')}\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_character_that_a_console_lacks_is_its_escape(encoding, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed := io.BytesIO(), encoding=encoding))
    assert main(["list", "attack"]) == 0
    assert b"\\u2264" in printed.getvalue()


def test_the_help_of_plan_names_every_plan(unshaken):
    text = unshaken("audit --help").out
    assert [name for name in PLANS if not re.search(rf"(?<![\w-]){name}(?![\w-])", text)] == []


def test_beginning_imports_neither_torch_nor_a_room():
    heavy = {"torch", "numpy", "duckdb", "pydantic", "unshaken.core.registry", "unshaken.run"}
    code = f"import sys, unshaken.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "[]\n"


def test_ctrl_c_gives_130_and_the_command_that_goes_on(unshaken, place, monkeypatch):
    def stop(*_):
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("unshaken.stress.Fog.apply", stop)
        done = unshaken(AUDIT)
    assert done.code == 130
    assert done.err == f"unshaken: interrupted; finished results are saved, resume with: unshaken {AUDIT} --resume\n"
    assert unshaken(f"{AUDIT} --resume").code == 0


def test_the_command_that_goes_on_names_a_directory_that_was_not_given(unshaken, place, monkeypatch):
    def stop(*_):
        signal.raise_signal(signal.SIGINT)

    typed = AUDIT.removesuffix(" --out run")
    monkeypatch.setattr("unshaken.stress.Fog.apply", stop)
    message = unshaken(typed).err
    (made,) = (place / "runs").iterdir()
    assert message.rstrip().endswith(f"unshaken {typed} --out runs/{made.name} --resume")


def test_ctrl_c_where_nothing_can_be_resumed(unshaken, monkeypatch):
    def stop(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("unshaken.core.registry.list_records", stop)
    assert unshaken("list") == type(unshaken("list"))(130, "", "unshaken: interrupted\n")


@pytest.mark.parametrize("debug", ["before", "after", "no"])
def test_a_fault_of_ours_says_so_in_one_line(debug, unshaken, place, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(api, "audit", fail)
    done = unshaken({"before": f"--debug {AUDIT}", "after": f"{AUDIT} --debug", "no": AUDIT}[debug])
    assert done.code == 2
    line = "unshaken: this is a bug, please report it: ZeroDivisionError: division"
    if debug == "no":
        assert done.err == f"{line}; --debug shows the traceback\n"
    else:
        assert done.err.startswith("Traceback (most recent call last)")
        assert done.err.endswith(f"{line}\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "x/net.pt"), "Permission denied: x/net.pt"),
        (OSError(errno.ENOSPC, "No space left on device", "cache"), "No space left on device: cache; free some space"),
        (MemoryError(), "memory ran out; try a smaller --batch-size, or --limit"),
    ],
    ids=["permission", "disk full", "memory"],
)
def test_what_the_system_refuses_is_no_bug(error, line, unshaken, place, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(api, "audit", fail)
    done = unshaken(AUDIT)
    assert (done.code, done.err) == (2, f"unshaken: {line}\n")


def test_a_disk_that_fills_up_in_the_run_is_told_with_the_way_on(unshaken, place, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    done = unshaken(AUDIT)
    assert done.code == 2
    advice = "finished results are saved: free some space, then run again with --resume"
    assert done.err == f"unshaken: run: the disk is full; {advice}\n"


@pytest.mark.parametrize("words", [["list", "stress"], ["--help"], ["attack", "--help"]])
def test_a_reader_that_goes_away_gets_no_traceback(words, tmp_path):
    reader, writer = Pipe(duplex=False)
    reader.close()
    with process(run_command, words, {}, printed=tmp_path / "errors", output=writer) as program:
        program.join(200)
        assert program.exitcode == 141
    assert (tmp_path / "errors").read_text() == ""


class Terminal:
    """Stderr that says it is a terminal."""

    def __init__(self, inner):
        self.inner, self.written = inner, []

    def write(self, text):
        self.written.append(text)
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return True


def listen(monkeypatch, *, quiet=False):
    terminal = Terminal(sys.stderr)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    with progress(Session(quiet=quiet)), track("outer \x1b]0;evil\x07", 4) as outer:
        outer.advance(2, note="fog")
        with track("inner", None) as inner:
            inner.advance(3)
    return "".join(terminal.written)


def test_progress_shows_nested_bars_on_a_terminal(monkeypatch):
    shown = listen(monkeypatch)
    assert "outer" in shown
    assert "inner" in shown
    assert "50%" in shown
    assert "]0;evil\x07" not in shown


@pytest.mark.parametrize("quiet", [True, False])
def test_a_remark_on_a_run_is_a_line_on_stderr(quiet, capsys):
    with progress(Session(quiet=quiet)):
        for _ in range(2):
            warnings.warn("a worker was replaced;\nits shard is computed again", RunWarning, stacklevel=1)
    assert capsys.readouterr().err == 2 * "unshaken: a worker was replaced; its shard is computed again\n"


def test_quiet_shows_no_progress(monkeypatch):
    assert listen(monkeypatch, quiet=True) == ""


@pytest.mark.parametrize("verb", ["audit", "attack", "certify", "detect", "harden"])
def test_help_answers_what_a_newcomer_asks(verb, unshaken):
    text = " ".join(unshaken(f"{verb} --help").out.split())
    for answer in ("Which ", "How many images: ", "How long: ", "A good result: ", "Example: "):
        assert answer in text


WITH_ADVICE = [name for name in build_command().commands if epilog(name)]


@pytest.mark.parametrize("verb", WITH_ADVICE)
def test_the_example_of_a_help_has_options_that_exist(verb, unshaken):
    assert len(WITH_ADVICE) == 11
    advice = epilog(verb)
    assert advice.replace("\n\n", " ") in " ".join(unshaken(f"{verb} --help").out.split())
    for command in advice.partition("Example: ")[2].split("; then: "):
        name = command.partition(" --")[0].removeprefix("unshaken ")
        shown = unshaken(f"{name if name in SHORT else name.split()[0]} --help-all").out
        assert command.startswith("unshaken ")
        for word in shlex.split(command):
            assert not word.startswith("--") or word in shown
