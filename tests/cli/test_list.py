"""`unshaken list`, and a method that enters everything by its decorator alone."""

from __future__ import annotations

import json
from functools import reduce

import pytest
from pydantic import Field

from unshaken.cli.app import build_command
from unshaken.cli.complete import complete_data, complete_methods, complete_model, complete_plan, complete_room
from unshaken.cli.list import USES
from unshaken.core.registry import _written_records, list_methods, register, unregister
from unshaken.data.load import SOURCES
from unshaken.data.named import NAMED
from unshaken.models.loaders.kinds import list_kinds
from unshaken.run import PLANS
from unshaken.stress.engine.base import Stressor


@pytest.fixture
def toy():
    """A stressor that turns every image dark."""

    @register("toy-darkness", reference="nobody 2001, arXiv:0000.00000", group="toys")
    class Darkness(Stressor):
        """Turn every pixel black."""

        depth: int = Field(3, ge=1, le=9, description="how deep, in steps")

        def run(self, images, severity, rng):
            return images * 0

    yield Darkness
    unregister("toy-darkness")


def test_a_registered_class_is_listed_without_another_edit(toy, unshaken):
    (record,) = [m for m in json.loads(unshaken("list stress --json").out) if m["name"] == "toy-darkness"]
    assert record["summary"] == "Turn every pixel black."
    assert record["parameters"]["depth"] == {
        "default": 3, "description": "how deep, in steps", "maximum": 9, "minimum": 1, "type": "integer",
    }  # fmt: skip
    assert record["reference"] == "nobody 2001, arXiv:0000.00000"
    assert record["tags"]["group"] == "toys"
    text = unshaken("list stress").out
    assert "toy-darkness  Turn every pixel black." in text
    assert "depth: integer ≥ 1, ≤ 9 = 3  how deep, in steps" in text


def test_the_file_of_methods_holds_what_the_registry_has():
    records = [method.record() for method in list_methods() if method.cls.__module__.startswith("unshaken.")]
    assert _written_records() == json.loads(json.dumps(records)), "run scripts/list_methods.py, and read the diff"


def test_a_registered_class_runs_in_a_plan_without_another_edit(toy, unshaken, place):
    (place / "toy.yaml").write_text("- {method: toy-darkness, severities: [1], params: {depth: 5}}\n")
    done = unshaken("audit --model py:net.py:build --data folder:photos --plan toy.yaml --out run --json")
    assert done.code == 0
    (condition,) = json.loads(done.out)["conditions"]
    # black images are dark: right for the six dark ones, wrong for the six light ones
    assert (condition["condition"], condition["accuracy"]["value"]) == ("toy-darkness-1", 0.5)


def test_rooms_and_needs(unshaken):
    attacks = {m["name"]: m for m in json.loads(unshaken("list attack --json").out)}
    assert {m["room"] for m in attacks.values()} == {"attack"}
    assert attacks["pgd"]["needs"] == ["gradient"]
    assert attacks["pgd"]["norms"] == ["linf", "l2", "l1"]
    names = unshaken("list attack --quiet").out.split()
    assert names == sorted(attacks)


def test_each_method_is_listed_under_the_command_that_runs_it(unshaken):
    attacks, encodings = (unshaken(f"list {room} --quiet").out.split() for room in ("attack", "fool"))
    assert set(encodings) == {"ascent", "cppn", "direct"}
    assert not set(attacks) & set(encodings)
    assert "for: detection" in unshaken("list attack").out


def test_the_kinds_are_one_page_with_the_commands_that_run_them(unshaken):
    done = unshaken("list")
    lines = [line.split() for line in done.out.splitlines()]
    counts = {line[0]: int(line[1]) for line in lines if len(line) > 2 and line[1].isdigit()}
    assert set(counts) == set(complete_room(""))
    assert sum(counts.values()) == len(list_methods())
    assert counts["fool"] == 3
    assert len(lines) < 25


def test_each_kind_is_run_by_a_command_that_exists():
    for commands, _ in USES.values():
        for words in commands.split(", "):
            assert reduce(lambda group, word: group.commands[word], words.split(), build_command())


def test_completion_offers_what_there_is():
    assert complete_plan("")[: len(PLANS)] == list(PLANS)
    assert {n.rstrip(":") for n in complete_model("")} == {k.name for k in list_kinds()} | {
        "demo:standard",
        "demo:robust",
    }
    assert {n.rstrip(":") for n in complete_data("")} <= {"demo", *SOURCES, *NAMED}
    assert {f"{k}:" for k in SOURCES} <= set(complete_data(""))
    assert complete_methods("attack")("") == [m.name for m in list_methods("attack")]
    assert set(complete_room("")) == {m.room for m in list_methods()} - {"tasks"} | {"fool", "evaluations"}
    assert complete_methods("attack")("pg") == [m.name for m in list_methods("attack") if m.name.startswith("pg")]


def test_completion_of_plans_offers_yaml_files(place):
    assert {"fog.yaml", "photos/"} <= set(complete_plan(""))
    assert complete_plan("fg") == ["fgsm.yaml"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [("unshaken au", "audit"), ("unshaken attack --method pg", "pgd"), ("unshaken audit --plan qu", "quick")],
)
def test_the_shell_gets_completions(words, offered, unshaken, monkeypatch):
    monkeypatch.setenv("_UNSHAKEN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert offered in unshaken("").out.split()
