"""Commands and SPECs that pages and lines suggest work when they are pasted, whatever the names of files."""

import re
import shlex

import pytest

from unshaken.cli import main

TRAINED = """
from torch import nn


def build():
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2))
"""
BRIEF = "--attack auto:steps=2,queries=2 "
"""The suggested attack with fewer steps: what it finds is tested beside it."""


@pytest.mark.parametrize("folder", ["plain", 'it\'s a "run" & $HOME'])
def test_what_a_training_page_suggests_can_be_pasted(unshaken, place, folder):
    (place / "my net.py").write_text(TRAINED)
    train = ["--model", "py:my net.py:build", "--data", "folder:photos", "--recipe", "fgsm-rs:eps=4/255"]
    done = unshaken("harden", *train, "--out", folder, "--set", "epochs=1")
    assert done.code == 0, done.err
    (block,) = re.findall(r"```(?:sh)?\n(unshaken .*?)```", (place / folder / "report.md").read_text(), re.DOTALL)
    lines = block.strip().splitlines()
    assert [line.split()[1] for line in lines] == ["audit", "attack"]
    for number, line in enumerate(lines):
        words = shlex.split(line.replace("DATA", "folder:photos").replace("--attack auto ", BRIEF))
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
