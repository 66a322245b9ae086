"""A command and its function in Python have the same names for the same things, and siblings the same order."""

from __future__ import annotations

import inspect
from functools import reduce

import pytest
import typer

import unshaken
from unshaken import detect, generate, labels, stress
from unshaken.cli.app import app
from unshaken.harden.engine.training import Training

VERBS = {
    "audit": unshaken.audit,
    "attack": unshaken.attack,
    "certify": unshaken.certify,
    "compare": unshaken.compare,
    "corrupt": stress.write_corrupted,
    "detect fit": detect.fit,
    "detect score": unshaken.detect,
    "drift": unshaken.drift,
    "evaluate": unshaken.evaluate,
    "explain": unshaken.explain,
    "fool": unshaken.fool,
    "generate dataset": generate.dataset,
    "generate fit": generate.fit,
    "generate measure": generate.measure,
    "generate sample": generate.sample,
    "generate scaling": generate.scaling,
    "generate texture": generate.texture,
    "harden": unshaken.harden,
    "inspect": unshaken.inspect,
    "labels estimate": labels.estimate_wrong,
    "labels find": labels.find_labels,
    "merge": unshaken.merge,
}
SHELL = {"--json", "--quiet", "--debug", "--help", "--help-all", "--allow-code", "--overwrite"}
"""Of the terminal alone."""
SEVERAL = {"--methods": "--method", "--gates": "--gate", "--metrics": "--metric", "--radii": "--radius"} | {
    "--shifts": "--shift",
    "--checks": "--check",
}
"""What Python takes as a list, and the command as an option that may be repeated."""
TRAINING = {f"--{name.replace('_', '-')}" for name in Training.model_fields}
COMMAND_ALONE = {
    "compare": {"--out"},
    "detect fit": {"--keep", "--tune", "--calibration", "--out"},
    "detect score": {"--fit", "--method", "--openood"},
    "explain": {"--run"},
    "generate fit": {"--steps", "--batch-size", "--lr", "--seed"},
    "harden": {"--from", "--set", "--dry-run"},
    "labels estimate": {"--db", "--review-name"},
    "labels find": {"--kind", "--labels"},
}
"""Options that are an object's field in Python (`Shares`, `Fitting`), a method of the result, or another function."""
PYTHON_ALONE = {
    "corrupt": {"--workers"},
    "detect fit": {"--shares"},
    "generate dataset": {"--batch-size"},
    "generate fit": {"--fitting", "--workers"},
    "generate sample": {"--batch-size"},
    "harden": {"--validation", "--reference"},
}
"""Parameters that are objects, or leave the results as they are."""


def options_of(words: str) -> tuple[set[str], int]:
    """The long options of a command, and how many things it takes by their place."""
    command = reduce(lambda group, word: group.commands[word], words.split(), typer.main.get_command(app))
    flags = {next((o for o in p.opts if o.startswith("--")), "") for p in command.params}
    return flags - SHELL - {""}, sum(p.param_type_name == "argument" for p in command.params)


@pytest.mark.parametrize("words", VERBS)
def test_a_command_and_its_function_have_the_same_names(words):
    options, places = options_of(words)
    parameters = inspect.signature(VERBS[words]).parameters
    named = {f"--{name.replace('_', '-')}" for name in parameters}
    named = {SEVERAL.get(name, name) for name in named}
    only_here = options - named - COMMAND_ALONE.get(words, set())
    only_there = named - options - PYTHON_ALONE.get(words, set()) - TRAINING
    by_place = {SEVERAL.get(f"--{name}", f"--{name}") for name in list(parameters)[:places]} | {"--method"}
    assert not only_here
    assert not places or only_there <= by_place
    assert places or not only_there


@pytest.mark.parametrize("words", ["audit", "attack", "certify", "detect fit", "detect score", "explain", "harden"])
def test_siblings_take_model_data_and_method_in_this_order(words):
    model, data, third, *_ = inspect.signature(VERBS[words]).parameters
    assert (model, data) == ("model", "data")
    assert third in {"method", "methods", "plan", "detectors"}


def test_a_method_is_asked_for_by_one_name():
    """And a room's own word for its methods is taken too, where people say it."""
    for words in ("attack", "certify", "corrupt", "detect fit", "fool", "harden", "labels find", "labels train"):
        assert "--method" in options_of(words)[0]
    for words, word in {"attack": "--attack", "harden": "--recipe", "labels train": "--recipe"}.items():
        command = reduce(lambda group, one: group.commands[one], words.split(), typer.main.get_command(app))
        assert ["--method", word] in [p.opts for p in command.params]
