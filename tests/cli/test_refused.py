"""Options that need another one, folders that are absent, defaults: what was ignored in silence is one line."""

from __future__ import annotations

import pytest

from tests.cli.test_outputs import commands
from unshaken.cli.app import build_command


def test_no_default_is_refused_by_the_reader_of_its_option():
    for name, command in commands():
        for one in command.callback.__wrapped__.__signature__.parameters.values():
            parser = getattr(one.annotation.__metadata__[0], "parser", None) if one.name != "ctx" else None
            if parser is not None and one.default not in (None, one.empty):
                assert parser(one.default) == one.default, f"unshaken {name}: {one.name}"


def refusals(command, *arguments):
    """What a command says of its options before it runs."""
    try:
        command.make_context("verb", list(arguments), help_option_names=["-h", "--help"])  # kept with the command
    except Exception as error:
        return str(error)
    return ""


def test_an_option_that_takes_one_value_is_refused_twice_in_every_verb():
    tried = 0
    for name, command in [*commands(), ("harden", build_command().commands["harden"])]:
        for one in command.params:
            if not one.opts[0].startswith("-") or (one.is_flag and not one.secondary_opts):
                continue
            given = [one.opts[-1]] if one.is_flag else [one.opts[-1], "1"]
            is_refused = "is given 2 times, and " in refusals(command, *given, *given)
            assert is_refused != one.multiple, (name, one.opts)
            tried += is_refused
    assert tried > 300


def test_both_words_of_a_switch_are_refused_and_the_same_flag_twice_is_not(unshaken, place):
    done = unshaken("certify --attacked --not-attacked")
    assert (done.code, done.err.strip()) == (
        2, "unshaken: --attacked is given 2 times, and is either on or off: give it once",
    )  # fmt: skip
    done = unshaken("audit --limit 10 --limit=5")
    assert (done.code, done.err.strip()) == (
        2, "unshaken: --limit is given 2 times, and takes one value: give it once",
    )  # fmt: skip
    assert unshaken("--quiet --quiet list attack").code == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("serve . --queue 3", "--queue goes with --score: name the model, or leave --queue away"),
        ("serve . --accept 0.9", "--accept goes with --score"),
        ("serve . --window 9", "--window goes with --score"),
        ("serve . --rate-limit 9", "--rate-limit goes with --score"),
        ("serve . --max-batch 9", "--max-batch goes with --score"),
        ("serve . --device cpu", "--device goes with --score"),
        ("serve . --calibrate demo", "--calibrate goes with --score"),
        ("serve . --score demo --accept 0.9", "--accept goes with --detectors: name their folder"),
        ("serve . --score demo --window 9", "--window goes with --history: name its folder"),
        ("serve . --score demo --reference demo", "--reference goes with --history: name its folder"),
        ("serve . --score demo --history net.py", "--history 'net.py' is a file: name a folder"),
        ("serve . --score demo --history photos", "--history 'photos' holds other files"),
        ("serve absent", "there is no folder 'absent': give folders that hold run directories"),
        ("serve . net.py", "there is no folder 'net.py'"),
        ("serve . --readers a,a", "--readers 'a,a': 'a' stands twice"),
        ("serve . --readers a,,b", "--readers 'a,,b': a name is empty"),
        ("harden surgery extract a b c --out sig", "'a'"),
    ],
)
def test_what_was_ignored_is_one_line(unshaken, place, line, message):
    result = unshaken(line)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
