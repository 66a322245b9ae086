"""Rows as folders: each has its claim in `claim.toml`, and the code of its experiment beside it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unshaken.core.errors import ParameterError, UnshakenError, did_you_mean
from unshaken.core.imports import plugins
from unshaken.core.registry import Method
from unshaken.core.texts import first_line
from unshaken.papers.claim import ClaimPart
from unshaken.papers.paper import Paper
from unshaken.papers.rules import Rule, check_rules, rule_in_words

GROUP = "unshaken.papers"
"""Entry points of this group name packages whose folders with a `claim.toml` are rows."""
CLAIM = "claim.toml"
FILES = {"__init__.py": "the class of its parameters", "experiment.py": "run(paper, context)"}
"""What a row's folder must have beside its claim; `figures.py` may be left out where the class has `figures`."""

_loaded: dict[str, type[Paper]] = {}
P = TypeVar("P", bound=Paper)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Table):
    """A part of the claim as `claim.toml` has it; see `ClaimPart`.

    Args:
        statement: what the publication says, a sentence.
        rule: when it counts as shown, and when as contradicted; the bounds of the checks stand in it as `{0.above}`.
        central: whether the claim of the title rests on it.
        untried: why the experiment does not try it.
        checks: the rule as data; none where the class judges.
    """

    statement: str
    rule: str = ""
    central: bool = True
    untried: str = ""
    checks: tuple[Rule, ...] = ()


class Sizes(_Table):
    """Values of the parameters: `quick`, the defaults; `full` and `tiny`, those that differ."""

    quick: dict[str, Any] = {}
    full: dict[str, Any] = {}
    tiny: dict[str, Any] = {}


class Claim(_Table):
    """Statement of a row, as in `claim.toml`; the fields are those of `Paper`, but for `reference` and `sizes`.

    Args:
        words: names of figures as they stand in the words of checks.
    """

    title: str
    claim: str
    summary: str = Field(default="", max_length=100)
    reference: str
    data: str
    model: str
    rule: str = ""
    differs: tuple[str, ...] = ()
    parts: dict[str, Part] = {}
    words: dict[str, str] = {}
    headline: dict[str, tuple[str, str]] = {}
    expected: dict[str, Any] = {}
    tables: dict[str, dict[str, str]] = {}
    chooses: dict[str, str] = {}
    sizes: Sizes = Sizes()


def read_claim(folder: str | os.PathLike[str]) -> Claim:
    """Read the claim of a row's folder.

    Raises:
        ParameterError: there is none, or it is not as it must be: the message has the file, the key and what to do.
    """
    path = Path(folder) / CLAIM
    try:
        claim = Claim.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        for name, part in claim.parts.items():
            ClaimPart(**part.model_dump(exclude={"checks"}))
            check_rules(name, part.rule, part.checks)
    except FileNotFoundError:
        raise ParameterError(f"{folder}: no {CLAIM}: write a new row with 'unshaken papers new NAME'") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ParameterError(f"{path}: cannot be read ({first_line(error)}): correct it") from None
    except ValidationError as error:
        raise ParameterError(f"{path}: {_wrong_key(error)}") from None
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from None
    if not claim.parts and not claim.rule:
        raise ParameterError(f"{path}: no part of the claim: add [parts.NAME] with a statement and a rule")
    return claim


def _wrong_key(error: ValidationError) -> str:
    """The first key that is wrong, and what to do."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"no {key!r}: add it"
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}: remove it, or correct its name"
    return f"{key!r}: {first['msg'].lower()}: change it"


def row(file: str | os.PathLike[str]) -> Callable[[type[P]], type[P]]:
    """Give a class the claim of its folder: what it states, and the defaults of its parameters.

    Args:
        file: the `__file__` of the class, or the folder of `claim.toml`.

    Raises:
        ParameterError: the claim is absent or wrong, or its sizes do not fit the parameters.
    """
    folder = Path(file).parent if Path(file).suffix == ".py" else Path(file)
    claim, slug = read_claim(folder), _slug(folder)

    def enter(cls: type[P]) -> type[P]:
        cls.info = Method(slug, cls.room, cls, claim.reference)
        for name in ("title", "claim", "summary", "rule", "data", "model", "differs", "headline", "expected"):
            setattr(cls, name, getattr(claim, name))
        cls.tables, cls.chooses = claim.tables, claim.chooses
        cls.full, cls.tiny = claim.sizes.full, claim.sizes.tiny
        cls.parts = {name: _claim_part(part) for name, part in claim.parts.items()}
        cls.rules = {name: part.checks for name, part in claim.parts.items() if part.checks}
        cls.words = claim.words
        _set_defaults(cls, claim.sizes, folder / CLAIM)
        _loaded[slug] = cls
        return cls

    return enter


def _claim_part(part: Part) -> ClaimPart:
    return ClaimPart(**{**part.model_dump(exclude={"checks"}), "rule": rule_in_words(part.rule, part.checks)})


def _set_defaults(cls: type[Paper], sizes: Sizes, path: Path) -> None:
    """Make the quick sizes the defaults of the parameters, and see that the other sizes are allowed."""
    lacking = [name for name, field in cls.model_fields.items() if field.is_required() and name not in sizes.quick]
    if lacking:
        raise ParameterError(f"{path}: [sizes.quick] has no {lacking[0]!r}, a parameter of {cls.__name__}: add it")
    for name, values in (("quick", sizes.quick), ("full", sizes.full), ("tiny", sizes.tiny)):
        try:
            whole = cls(**{**sizes.quick, **values})
        except ParameterError as error:
            raise ParameterError(f"{path}: [sizes.{name}]: {error}") from None
        if name == "quick":
            quick = whole
    for name in sizes.quick:
        cls.model_fields[name].default = getattr(quick, name)
    cls.model_rebuild(force=True)


def row_folders() -> dict[str, Path]:
    """The folders of all installed rows, by slug, in order."""
    return {_slug(folder): folder for _, folder in sorted(_packages().items())}


@cache
def _packages() -> dict[str, Path]:
    """The rows of packages that entry points name: the module of each, and its folder."""
    return {
        f"{package}.{path.parent.name}": path.parent
        for folder, package in package_folders().items()
        for path in folder.glob(f"*/{CLAIM}")
    }


@cache
def package_folders() -> dict[Path, str]:
    """The folders of packages of rows, with the packages' names.

    Raises:
        UnshakenError: an entry point names a package that is not installed.
    """
    found: dict[Path, str] = {}
    for plugin in plugins(GROUP):
        spec = importlib.util.find_spec(plugin.value)
        if spec is None or not spec.submodule_search_locations:
            raise UnshakenError(f"entry point {plugin.name!r} of {GROUP!r}: no package {plugin.value!r}: install it")
        found |= {Path(folder).resolve(): plugin.value for folder in spec.submodule_search_locations}
    return found


def find_row(name: str) -> type[Paper]:
    """The class of a row.

    Args:
        name: a slug of `list_papers`; or the path of a row's folder, with a `/` in it.

    Raises:
        ParameterError: there is none, or the folder is not as it must be; one line says what to do.
    """
    if "/" in name or os.sep in name:
        return _load_folder(Path(name))
    modules = {_slug(folder): module for module, folder in _packages().items()}
    if name not in _loaded and name in modules:
        importlib.import_module(modules[name])
    if name not in _loaded:
        if Path(name, CLAIM).is_file():
            raise ParameterError(f"no method {name!r} in papers: for the folder of that name write './{name}'")
        raise ParameterError(f"no method {name!r} in papers: {did_you_mean(name, [*modules, *_loaded])}")
    return _loaded[name]


def _load_folder(folder: Path) -> type[Paper]:
    """The class of a folder, which is imported as a package of its name."""
    folder = folder.resolve()
    if not folder.is_dir():
        raise ParameterError(f"{folder}: no such folder: write a new row with 'unshaken papers new NAME'")
    slug = _slug(folder)
    if row_folders().get(slug) == folder:
        return find_row(slug)
    if slug in row_folders():
        raise ParameterError(f"{folder}: {slug!r} is the name of an installed row: give the folder another name")
    read_claim(folder)
    for file, has in FILES.items():
        if not (folder / file).is_file():
            raise ParameterError(f"{folder}: no {file}: add it, with {has}")
    module = sys.modules.get(folder.name) or _import_folder(folder)
    if Path(module.__file__ or "").parent != folder:
        raise ParameterError(f"{folder}: its name is taken by {module.__file__}: give the folder another name")
    cls = _loaded.get(slug)
    if cls is None or cls.__module__ != folder.name:
        del sys.modules[folder.name]
        raise ParameterError(f"{folder / '__init__.py'}: no class of a Paper with @row(__file__): add it")
    return cls


def _import_folder(folder: Path) -> ModuleType:
    spec = importlib.util.find_spec(folder.name) or importlib.util.spec_from_file_location(
        folder.name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ParameterError(f"{folder / '__init__.py'}: is no Python source: correct it")
    module = importlib.util.module_from_spec(spec)
    if module.__file__ != str(folder / "__init__.py"):
        return module
    sys.modules[folder.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[folder.name]
        if isinstance(error, UnshakenError):
            raise
        raise ParameterError(
            f"{folder}: importing it raised {type(error).__name__}: {first_line(error)}: correct its code"
        ) from error
    return module


def forget_row(slug: str) -> None:
    """Take a row out again (for tests and notebooks that load a folder twice)."""
    cls = _loaded.pop(slug)
    for name in [m for m in sys.modules if m == cls.__module__ or m.startswith(f"{cls.__module__}.")]:
        if not name.startswith("unshaken"):
            del sys.modules[name]


def _slug(folder: Path) -> str:
    """The slug of a folder: its name with hyphens.

    Raises:
        ParameterError: its name could not be that of a module.
    """
    if not re.fullmatch("[a-z][a-z0-9_]*", folder.name):
        raise ParameterError(f"{folder}: name the folder with the characters a-z, 0-9 and _, a letter first")
    return folder.name.replace("_", "-")


@dataclass(frozen=True, slots=True)
class PaperInfo:
    """Description of a paper, known before it is run.

    Args:
        slug: its name here.
        title: of the publication.
        claim: in one sentence.
        summary: the claim in at most a hundred characters.
        rule: how the verdict follows from the figures, of a claim that is not divided into parts.
        reference: the publication, with an address.
        data: SPEC of the default data.
        model: SPEC of the default model.
    """

    slug: str
    title: str
    claim: str
    summary: str
    rule: str
    reference: str
    data: str
    model: str

    def to_json(self) -> dict[str, str]:
        """All fields."""
        return asdict(self)


def list_papers() -> list[PaperInfo]:
    """All installed papers, and those loaded from folders, by slug; no code of an experiment is imported."""
    claims: Mapping[str, Any] = {slug: read_claim(folder) for slug, folder in row_folders().items()}
    known = {**_loaded, **claims}
    found = []
    for slug in sorted(known):
        c = known[slug]
        reference = c.reference if isinstance(c, Claim) else c.info.reference
        found.append(PaperInfo(slug, c.title, c.claim, c.summary or c.claim, c.rule, reference, c.data, c.model))
    return found
