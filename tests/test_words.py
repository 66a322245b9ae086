"""Plain words where a person reads: help, methods' summaries and parameters, all names, comments and docstrings."""

from __future__ import annotations

import ast
import io
import re
import tokenize
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


PLACES = (SOURCES, SOURCES.parent / "unshaken_papers")
FORBIDDEN = re.compile(r"\b(told|said|heard|whom|mend(s|ed|ing)?|doomed|lest|bouts?|so many|sees? to)\b", re.IGNORECASE)
"""Words that neither a comment nor a docstring of private code has."""
FORBIDDEN_PARTS = {"told", "said", "heard", "whom", "mend", "mends", "mended", "mending", "doomed", "lest", "bout"}
"""Words that no part of a name is; those of `FORBIDDEN_NAMES` are no whole name."""
FORBIDDEN_NAMES = {"look", "looks", "seen", "beside", "bouts"}
KEPT_NAMES = {
    "generate/unet.py: told": "a key of saved weights",
    "harden/engine/_verdict.py: looks": "the column of the table on the disk; the field of a documented result",
    "harden/engine/adaptive.py: looks": "a parameter of the documented `against`",
    "harden/recipes/ensembles/mixing_network.py: beside": "a documented method of the recipe",
    "papers/record.py: seen": "a key of a result's JSON",
    "store/config.py: beside": "a key of config.json",
    "tasks/image_text/writers.py: look": "a field of the public `Material`, and a place in templates",
    "tasks/image_text/writers.py: looks": "a parameter of the public `gather_material`",
}
"""File and name of what users see or files hold, with the reason."""


def python_files() -> Iterator[tuple[str, str]]:
    """Place and text of every file of the package and of the papers."""
    for folder in PLACES:
        for path in sorted(folder.rglob("*.py")):
            yield path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")


def names_bound(text: str) -> set[str]:
    """Names that a file gives to classes, functions, parameters, variables and attributes."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
            case ast.alias(asname=str(name)):
                found.add(name)
    return found


def is_forbidden(name: str) -> bool:
    """Whether a name has a private word as a part, or is one."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return name.strip("_").lower() in FORBIDDEN_NAMES or not FORBIDDEN_PARTS.isdisjoint(p.lower() for p in parts)


def remarks(text: str, *, of_papers: bool = False) -> Iterator[str]:
    """Comments and docstrings of a file, without code in backticks.

    Args:
        text: of the file.
        of_papers: leave out docstrings of papers, which are the text of their pages.
    """
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield re.sub(r"`[^`]*`", "", token.string)
    tree = ast.parse(text)
    pages = {
        id(node.body[0])
        for node in ast.walk(tree)
        if of_papers and isinstance(node, ast.ClassDef) and "Paper" in (ast.unparse(base) for base in node.bases)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(words))) if id(node) not in pages:
                yield re.sub(r"`[^`]*`", "", words)


def test_private_names_are_plain():
    found, names = set(), 0
    for place, text in python_files():
        bound = names_bound(text)
        names += len(bound)
        found |= {f"{place}: {name}" for name in bound if is_forbidden(name)}
    assert names > 20_000
    assert found == set(KEPT_NAMES)


def test_comments_and_docstrings_are_plain():
    found, read = [], 0
    for place, text in python_files():
        read += 1
        for remark in remarks(text, of_papers=True) if FORBIDDEN.search(text) else ():
            found += [(place, word[0], remark) for word in FORBIDDEN.finditer(remark)]
    assert read > 1_000
    assert found == []


@pytest.mark.parametrize("name", ["_said", "shares_said", "Told", "isWhom", "LOOKS", "_seen", "beside", "lest"])
def test_the_check_finds_private_names(name):
    assert is_forbidden(name)


@pytest.mark.parametrize("name", ["look_times", "unseen", "seen_by_rows", "tell", "amended", "blessed", "outlook"])
def test_the_check_leaves_plain_names(name):
    assert not is_forbidden(name)


def test_the_check_reads_comments_docstrings_and_bound_names():
    text = 'def f(whom):\n    """Told `said`."""\n    self.x = y = 1  # so many\n'
    assert names_bound(text) == {"f", "whom", "x", "y"}
    assert list(remarks(text)) == ["# so many", "Told ."]
    page = 'class A(Paper):\n    """Said."""\n    B = 1\n    """Heard."""\n'
    assert list(remarks(page, of_papers=True)) == ["Heard."]


STANDS_ALONE = ("attack", "certify", "core", "data", "measure", "run", "store", "stress")
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
