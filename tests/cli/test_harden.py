"""`unshaken harden` on the command line."""

from __future__ import annotations

import json

import pytest

from unshaken.cli import main

FEW = ["--epochs", "1", "--batch-size", "32", "--limit", "200", "--set", "check_images=16"]


def test_a_run_and_its_model(tmp_path, capsys):
    out = tmp_path / "run"
    recipes = ["--method", "fgsm-rs:eps=0.1", "--method", "ema"]
    assert main(["harden", "--model", "small", "--data", "demo", *recipes, *FEW, "--out", str(out), "-q"]) == 0
    assert capsys.readouterr().out.strip().endswith(f"model: run:{out}")
    assert json.loads((out / "harden.json").read_text())["recipes"] == ["fgsm-rs:eps=0.1", "ema"]


def test_json(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["harden", "--model", "small", "--data", "demo", *FEW, "--out", str(out), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["chosen_by"] == "clean"
    assert record["figures"]["held_accuracy"]["n"] == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --model and --data (and --method), or --from RUN"),
        (["--model", "small", "--data", "demo", "--set", "lr"], "--set 'lr' is not of the form K=V"),
        (["--model", "small", "--data", "demo", "--set", "rate=1"], "there is no training option 'rate'"),
        (["--model", "small", "--data", "demo", "--method", "at:eps=x"], "at: eps='x'"),
        (["--model", "small", "--data", "demo", "--method", "at:attack=autoattack"], "is no single search in a norm"),
        (["--model", "small", "--data", "demo", "--method", "at", "--method", "mart"], "both bring an inner search"),
        (["--model", "small", "--data", "demo", "--dry-run"], "--dry-run needs --from RUN"),
        (["--model", "small", "--data", "folder:nowhere"], "nowhere"),
        (["--model", "new:small-vits", "--data", "demo"], "no architecture 'small-vits'"),
        (["--from", "nowhere"], "no run.json"),
        (["--from", "nowhere", "--new-head"], "--new-head is for a training from --model and --data"),
        (["--from", "nowhere", "--devices", "2"], "--devices is for a training from --model and --data"),
        (["--from", "nowhere", "--nodes", "2"], "--nodes is for a training from --model and --data"),
        (["--model", "small", "--data", "demo", "--out", ""], "'--out': '' is empty"),
    ],
)
def test_wrong_use_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["harden", *arguments, "-q"]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert message in shown


def test_surgery_needs_its_files(capsys, tmp_path):
    assert main(["harden", "surgery", "add", "a", "b", "--out", str(tmp_path / "c")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
