"""A newcomer's first hour, small and in this process; what pages and lines suggest works when it is pasted."""

from __future__ import annotations

import importlib
import re
import runpy
import shlex
import sys
import time
from pathlib import Path

import pytest

from unshaken.cli import main

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PLAN = "- {method: fog, severities: [3]}\n- {method: fgsm, eps: [8/255]}\n"


def test_the_first_hour(unshaken, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    hour, folder = (importlib.import_module(name) for name in ("_hour", "_own_folder"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # as of a script that lies there
    monkeypatch.setitem(sys.modules, "net", None)  # at the end what was there is there again: of this test nothing is
    del sys.modules["net"]
    folder.write_folder(tmp_path, folder.made_photos(12), size=16)
    (tmp_path / "plan.yaml").write_text(PLAN)

    def call(words):
        began = time.monotonic()
        if words[0] == "unshaken":
            done = unshaken(*words[1:])
            return hour.Ended(tuple(words), done.code, time.monotonic() - began, done.out, done.err)
        monkeypatch.setattr(sys, "argv", words[1:])
        runpy.run_path(words[1])
        return hour.Ended(tuple(words), 0, time.monotonic() - began, *capsys.readouterr())

    effort = hour.Effort(
        size=16, epochs=12, plan="plan.yaml", budget=20, votes=100, limit=4,
        repair=("--epochs", "1", "--set", "check_images=4"), attacked=False, whole=False,
    )  # fmt: skip
    verbs = {ended.words[1] for ended in hour.first_hour(call, tmp_path, effort)}
    assert {"audit", "attack", "certify", "detect", "harden", "compare", "report", "query"} <= verbs
    assert (tmp_path / "runs/difference/compare.html").is_file()


def test_a_command_that_fails_ends_the_hour(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    hour = importlib.import_module("_hour")

    def call(words):
        return hour.Ended(tuple(words), 2 if "audit" in words else 0, 0.0, "", "unshaken: no such thing")

    found = []
    with pytest.raises(hour.StumbleError, match="nothing that looks like as in"):
        found.extend(hour.first_hour(call, tmp_path, hour.Effort()))
    assert [ended.code for ended in found] == [0, 0, 0, 2]


TRAINED = """
from torch import nn


def build():
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2))
"""
BRIEF = "--method auto:steps=2,queries=2 "
"""The suggested attack with fewer steps: what it finds is tested beside it."""


@pytest.mark.parametrize("folder", ["plain", 'it\'s a "run" & $HOME'])
def test_what_a_training_page_suggests_can_be_pasted(unshaken, place, folder):
    (place / "my net.py").write_text(TRAINED)
    train = ["--model", "py:my net.py:build", "--data", "folder:photos", "--method", "fgsm-rs:eps=4/255"]
    done = unshaken("harden", *train, "--out", folder, "--set", "epochs=1")
    assert done.code == 0, done.err
    (block,) = re.findall(r"```(?:sh)?\n(unshaken .*?)```", (place / folder / "report.md").read_text(), re.DOTALL)
    lines = block.strip().splitlines()
    assert [line.split()[1] for line in lines] == ["audit", "attack"]
    for number, line in enumerate(lines):
        words = shlex.split(line.replace("DATA", "folder:photos").replace("--method auto ", BRIEF))
        assert main([*words[1:], "--limit", "4", "--out", f"out{number}", "-q"]) == 0
    (model,) = shlex.split(re.search(r"^model: (.*)$", done.out, re.MULTILINE)[1])
    assert (
        unshaken("audit", "--model", model, "--data", "folder:photos", "--plan", "fog.yaml", "--out", "own").code == 0
    )


def test_the_command_that_a_refusal_suggests_can_be_pasted(unshaken, place):
    (place / "my net.py").write_text(TRAINED)
    train = ["--model", "py:my net.py:build", "--data", "folder:photos", "--out", "a run", "--set", "epochs=1"]
    assert unshaken("harden", *train).code == 0
    refused = unshaken("audit", "--model", "run:a run", "--data", "folder:photos", "--plan", "fog.yaml")
    assert refused.code == 2
    (model,) = shlex.split(refused.err.strip().rpartition("as in ")[2])
    assert (
        unshaken("audit", "--model", model, "--data", "folder:photos", "--plan", "fog.yaml", "--out", "own").code == 0
    )
