"""A command and its function in Python have the same names for the same things, and siblings the same order."""

from __future__ import annotations

import inspect
import operator
from functools import reduce

import pytest
import typer

import unshaken
from unshaken.cli.app import app, build_command
from unshaken.core.options import declared
from unshaken.harden.engine.training import Training


def functions_of_commands(command, words=()):
    """Each command below one, and the function of Python that does the same."""
    if python := getattr(command.callback, "python", ""):
        yield " ".join(words), operator.attrgetter(python)(unshaken)
    for name, one in getattr(command, "commands", {}).items():
        yield from functions_of_commands(one, (*words, name))


VERBS = dict(functions_of_commands(build_command()))
"""Command to the function that does the same."""
SHELL = {"--json", "--quiet", "--debug", "--help", "--help-all", "--allow-code", "--overwrite"}
"""Of the terminal alone."""
SEVERAL = {"--methods": "--method", "--gates": "--gate", "--metrics": "--metric", "--radii": "--radius"} | {
    "--shifts": "--shift",
    "--sources": "--source",
    "--checks": "--check",
}
"""What Python takes as a list, and the command as an option that may be repeated."""
TRAINING = {f"--{name.replace('_', '-')}" for name in Training.model_fields}
COMMAND_ALONE = {
    "board export": {"--format"},
    "compare": {"--out"},
    "detect fit": {"--keep", "--tune", "--calibration", "--out"},
    "detect threshold": {"--accept", "--out"},
    "detect score": {"--fit", "--method", "--openood"},
    "explain": {"--run"},
    "generate fit": {"--steps", "--batch-size", "--lr", "--seed"},
    "harden": {"--from", "--set", "--dry-run"},
    "labels estimate": {"--db", "--review-name"},
    "labels find": {"--kind", "--labels"},
}
"""Options that are an object's field in Python (`Shares`, `Fitting`), a method of the result, another function, or that
have the name of a function of Python's own."""
PYTHON_ALONE = {
    "board export": {"--form"},
    "corrupt": {"--workers"},
    "detect fit": {"--shares"},
    "detect mark": {"--workers"},
    "generate dataset": {"--batch-size"},
    "generate directions": {"--inversion-steps"},
    "generate fit": {"--fitting", "--workers"},
    "generate sample": {"--batch-size"},
    "harden": {"--validation", "--reference"},
    "transfer": {f"--{name.replace('_', '-')}" for name in declared()},
}
"""Parameters that are objects, leave the results as they are, or are of every run."""


def options_of(words: str) -> tuple[set[str], int]:
    """The long options of a command, and how many things it takes by their place."""
    command = reduce(lambda group, word: group.commands[word], words.split(), typer.main.get_command(app))
    flags = {next((o for o in p.opts if o.startswith("--")), "") for p in command.params}
    return flags - SHELL - {""}, sum(p.param_type_name == "argument" for p in command.params)


@pytest.mark.parametrize("words", sorted(VERBS.keys() - {"matrix"}))  # whose options are keys of its file
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
