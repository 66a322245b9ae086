"""Plain words where a person reads: help, methods' summaries and parameters, names of classes and functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import unshaken
from unshaken.cli import main
from unshaken.cli.app import app
from unshaken.core.registry import list_methods

SOURCES = Path(unshaken.__file__).parent
OWN_WORDS = ("papers", "report")
"""Rooms whose names and claims are not read here: papers state a claim as a question, in the words of the field."""

PRIVATE = re.compile(
    r"\b(doors?|doorstep|told|said|heard|whom|mend(s|ed|ing)?|shaken(?!/)|bouts?|so many|as of the|who computes|nobody"
    r"|(one|last|first|fresh) look|go on with|at the door|(is|lies) there)\b",
    re.IGNORECASE,
)
"""Words of this project alone. "Look at", "stage" and "found" are plain English and stay out."""
PRIVATE_NAMES = {
    *("Door", "Doorstep", "Look", "Seen", "Shown", "Turn", "Scene", "Stage", "Task", "Found", "Says", "Taught", "Kept"),
    *("Study", "World", "Workshop", "Lab", "Bench", "Classroom", "Field", "Bout", "Lane", "Heard", "Told", "Work"),
    *("door", "look", "looks", "seen", "told", "said", "heard", "mend", "whom", "kept", "taken", "found", "judged"),
}
PARTICIPLE = re.compile(r"[A-Z]\w*[a-z](ed|ught)$")
ALLOWED = {
    "Task": "a progress bar's task, as in rich",
    "Work": "the driver's samples in work",
    "Interrupted": "an exception, as KeyboardInterrupt",
    "SolverStopped": "an exception",
    "GaussianAugmented": "the registered recipe gaussian-augmented; a public name",
    "ClassBalanced": "the registered recipe class-balanced, the field's term",
}
"""Names that look private and are not, with the reason."""


def commands() -> Iterator[list[str]]:
    """Arguments of every command and group, the program itself first."""

    def walk(command: object, path: list[str]) -> Iterator[list[str]]:
        yield path
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, [*path, name])

    yield from walk(typer.main.get_command(app), [])


def public_names() -> Iterator[tuple[str, str]]:
    """Module and name of every public class and top-level function."""
    for path in sorted(SOURCES.rglob("*.py")):
        place = path.relative_to(SOURCES)
        if place.parts[0] in OWN_WORDS:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                yield place.as_posix(), node.name


@pytest.mark.parametrize("arguments", list(commands()), ids=" ".join)
def test_the_help_of_a_command_is_plain(arguments, capsys):
    assert main([*arguments, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert len(text) > 100
    assert PRIVATE.findall(text) == []


def test_summaries_of_methods_are_plain():
    methods = [m for m in list_methods() if m.room not in OWN_WORDS]
    assert len(methods) > 100
    assert {m.name: m.summary for m in methods if PRIVATE.search(m.summary) or len(m.summary) < 15} == {}


def test_descriptions_of_parameters_are_plain():
    found = {
        f"{method.name}:{name}": field.description
        for method in list_methods()
        if method.room not in OWN_WORDS
        for name, field in method.cls.model_fields.items()
    }
    assert len(found) > 300
    # a description stands alone: "of the noise" says what of the noise only to who reads the parameter's name with it
    lame = re.compile(r"^(of|over|in which|what|who|whom|where)\b")
    assert {k: v for k, v in found.items() if not v or PRIVATE.search(v) or lame.search(v)} == {}


def test_names_of_classes_and_functions_are_plain():
    names = list(public_names())
    assert set(ALLOWED) <= {name for _, name in names}
    assert len(names) > 900
    assert [
        (place, name)
        for place, name in names
        if (name in PRIVATE_NAMES or PARTICIPLE.match(name)) and name not in ALLOWED
    ] == []


STANDS_ALONE = ("core", "data", "measure", "run", "stress")
"""Rooms whose docstrings are checked one by one; others follow."""
LAME = re.compile(r"(What|Whom|Who|Of|Over|In which|So many|As(?= of\b| `)|Likewise)\b")
"""Openings of a docstring that cannot stand alone in an index."""


def test_docstrings_stand_alone():
    found, read = [], 0
    for path in (p for room in STANDS_ALONE for p in sorted((SOURCES / room).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                read += bool(first)
                found += [(path.name, first)] if LAME.match(first) else []
    assert found == []
    assert read > 500


@pytest.mark.parametrize("text", ["What it is.", "Whom it evaluates.", "Of the noise.", "So many samples.", "As `x`."])
def test_the_check_finds_openings_that_do_not_stand_alone(text):
    assert LAME.match(text)
    assert not LAME.match("Assemble the rows.")


@pytest.mark.parametrize("text", ["At the door: abnormal input.", "Mend what an audit found.", "Take so many samples."])
def test_the_check_finds_private_words(text):
    assert PRIVATE.search(text)
