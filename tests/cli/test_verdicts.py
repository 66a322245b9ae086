"""Nothing that the user's code raises ends in success, and a failed gate stays failed whatever is called afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unshaken import api
from unshaken.cli.app import app
from unshaken.core.errors import UnshakenError
from unshaken.explain.engine.rows import ExplainRecord
from unshaken.store.run_dir import RunDir

ENDS = {
    "exit": "import sys; sys.exit(0)",
    "none": "raise SystemExit",
    "words": "raise SystemExit('all is well')",
    "interrupt": "raise KeyboardInterrupt",
    "generator": "raise GeneratorExit",
    "own": "raise type('Mine', (BaseException,), {})",
    "typer": "import typer; raise typer.Exit(0)",
    "abort": "import typer; raise typer.Abort",
}
NET = """
from net import Brightness

def end():
    {end}

class Ends(Brightness):
    passes = {passes}
    def forward(self, x):
        self.passes -= 1
        if self.passes < 0:
            end()
        return super().forward(x)

def build():
    {at_once}
    return Ends().eval()
"""
LINE = "audit --model py:ends.py:build --data folder:photos --plan fog.yaml --out run --quiet"
GATE = ("--gate", "clean.accuracy >= 0.5")


def write_net(place: Path, end: str, *, passes: int = 99, at_once: bool = False) -> None:
    text = NET.format(end=ENDS[end], passes=passes, at_once="end()" if at_once else "")
    (place / "ends.py").write_text(text)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("where", ["factory", "first pass", "later pass"])
def test_code_that_ends_the_process_is_named_and_gives_2(end, where, unshaken, place):
    passes = {"factory": 99, "first pass": 0, "later pass": 6}[where]
    write_net(place, end, passes=passes, at_once=where == "factory")
    done = unshaken(*LINE.split(), *GATE)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("unshaken: ")
    assert "ends.py" in done.err
    assert "bug" not in done.err


@pytest.mark.parametrize("end", ["exit", "own"])
def test_in_python_it_is_an_error_of_this_package(end, place):
    write_net(place, end, passes=6)
    with pytest.raises(UnshakenError, match=r"ends\.py, line 5, in end: .*would have ended this program"):
        api.audit("py:ends.py:build", "folder:photos", "fog.yaml", out="run")


def test_a_verb_that_ends_without_its_gates_is_an_error(unshaken, place, monkeypatch):
    write_net(place, "exit")
    monkeypatch.setattr("unshaken.cli.runs.make_run", lambda *_: 0)
    done = unshaken(*LINE.split(), *GATE)
    assert (done.code, done.out) == (2, "")
    assert "without its summary and its gates" in done.err


def test_help_and_completion_end_well(unshaken, monkeypatch):
    assert unshaken("audit --help").code == 0
    assert unshaken("--version").code == 0
    monkeypatch.setenv("_UNSHAKEN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "unshaken au")
    monkeypatch.setenv("COMP_CWORD", "1")
    done = unshaken("")
    assert (done.code, done.out.strip()) == (0, "audit")
    assert app.info.name == "unshaken"


@pytest.fixture
def failed(unshaken, place):
    """The folder of a run of which one gate failed and one held."""
    line = "audit --model py:net.py:build --data folder:photos --plan fgsm.yaml --out run --quiet"
    gates = ("--gate", "fgsm.accuracy >= 0.5", "--gate", "clean.accuracy > 0.9")
    assert unshaken(*line.split(), *gates).code == 1
    return place / "run", line


def test_a_failed_gate_outlives_every_command(failed, unshaken):
    run, line = failed
    explain = "explain gradient --run run --model py:net.py:build"
    for command in ("report run", "report run --json", f"{line} --resume", explain):
        done = unshaken(command)
        assert done.code == 1, (command, done.err)
        assert json.loads((run / "gates.json").read_text())["verdict"] == "failed"
        assert (run / "junit.xml").read_text().count("<failure") == 1
        assert [g["state"] for g in json.loads((run / "summary.json").read_text())["gates"]] == ["failed", "held"]
        assert "1 of 2 gates failed" in (run / "report.md").read_text()
    assert "gate FAILED: fgsm.accuracy >= 0.5: " in unshaken("report run").err
    rows = unshaken("query", "run", "select gate, state from gates order by state", "--csv").out
    assert rows == "gate,state\nfgsm.accuracy >= 0.5,failed\nclean.accuracy > 0.9,held\n"


def test_new_gates_of_a_resumed_run_replace_those_of_before(failed, unshaken):
    run, line = failed
    assert unshaken(*line.split(), "--resume", "--gate", "clean.accuracy > 0.9").code == 0
    assert json.loads((run / "gates.json").read_text())["verdict"] == "held"
    assert unshaken("report run").code == 0


def test_a_run_that_was_killed_knows_its_gates_and_its_report_is_an_error(unshaken, place):
    write_net(place, "exit", passes=6)
    assert unshaken(*LINE.split(), *GATE).code == 2
    kept = json.loads((place / "run/gates.json").read_text())
    assert (kept["verdict"], kept["gates"][0]["gate"]) == ("undecided", "clean.accuracy >= 0.5")
    assert "<error" in (place / "run/junit.xml").read_text()
    assert unshaken("report run").code == 2


def test_what_makes_the_page_of_an_unfinished_run_again_ends_with_2(unshaken, place):
    assert unshaken(*LINE.replace("ends", "net").split()).code == 0
    assert unshaken("report run").code == 0
    (place / "run/unfinished").touch()
    ExplainRecord(settings={"models": ["m"], "data": "d", "seed": 0}).write(RunDir(place / "why"))
    for run in ("run", "why"):
        done = unshaken("report", run)
        assert done.code == 2
        assert done.err.strip() == f"{run}: the run has not finished: finish it by its command with --resume"


def test_a_damaged_file_of_gates_is_one_line(failed, unshaken):
    run, _ = failed
    (run / "gates.json").write_text("{")
    for command in ("report run", "compare run run", "card run", "query run 'select 1'"):
        done = unshaken(command)
        assert (done.code, done.out) == (2, ""), command
        assert "gates.json is damaged" in done.err
