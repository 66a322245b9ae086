"""A newcomer's first hour, small and in this process: every verb, and every command that is suggested on the way."""

from __future__ import annotations

import importlib
import runpy
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PLAN = "- {method: fog, severities: [3]}\n- {method: fgsm, eps: [8/255]}\n"


def test_the_first_hour(unshaken, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    hour, folder = (importlib.import_module(name) for name in ("_hour", "_own_folder"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # as of a script that lies there
    monkeypatch.delitem(sys.modules, "net", raising=False)  # another test's
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
