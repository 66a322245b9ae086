"""Names are checked before anything heavy is imported, with the message of the function that looks them up later."""

from __future__ import annotations

import subprocess
import sys

import pytest

from unshaken.cli.names import check_data, check_method, check_model, check_plan
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import find_method, list_methods
from unshaken.data import load_data
from unshaken.models.loaders.kinds import find_kind
from unshaken.run import load_plan

WRONG = (
    "audit --plan atacks",
    "audit --model tochvision:resnet18",
    "audit --data floder:x",
    "audit --data folder:absent",
    "audit --out /dev/null",
    "attack --model demo --data demo --method pgdd",
    "certify --model demo --data demo --method smoothin",
    "detect fit --model demo --data demo --method knnn --out x",
    "corrupt --data demo --out /dev/null",
    "audit --limit x",
)
PROGRAM = """
import sys
from unshaken.cli import main

for line in sys.argv[1:]:
    assert main(line.split()) == 2, line
    assert "torch" not in sys.modules, line
    assert "pyarrow" not in sys.modules, line
"""


def test_a_wrong_name_is_refused_without_torch():
    command = [sys.executable, "-c", PROGRAM, *WRONG]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.count("\n") == len(WRONG)


@pytest.mark.parametrize(
    ("check", "find", "text", "kind"),
    [
        (check_plan, load_plan, "atacks", ParameterError),
        (check_model, find_kind, "tochvision", ParameterError),
        (check_data, load_data, "floder:x", DataError),
        (check_data, load_data, "folder:absent", DataError),
        (check_method("attack"), lambda name: find_method(name, "attack"), "pgdd", ParameterError),
    ],
)
def test_the_message_is_that_of_the_function_that_finds(check, find, text, kind):
    with pytest.raises(kind) as early:
        check(text)
    with pytest.raises(kind) as late:
        find(text)
    assert str(early.value) == str(late.value)


def test_every_name_is_taken():
    for room in ("attack", "certify", "detect"):
        for method in list_methods(room):
            check_method(room)(f"{method.name}:a=1")
    for text in ("demo", "demo:standard", "py:net.py:build", "torchvision:resnet18?weights=none"):
        assert check_model(text) == text
    for text in ("demo", "demo?size=8", "cifar10", "parquet:x", "mix:demo+demo@1"):
        assert check_data(text) == text
    assert check_plan("quick") + check_plan("my.yaml") == "quickmy.yaml"


def test_names_are_listed_without_an_import(unshaken):
    for room in ("attack", "certify", "detect"):
        known = {method.name for method in list_methods(room) if method.tags.get("group") != "fooling"}
        assert unshaken(f"list {room} -q").out.split() == sorted(known)
