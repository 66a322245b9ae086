"""What the shell offers on Tab. It must be quick, so names are read from sources instead of importing them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

PLANS = ("quick", "corruptions", "attacks", "full")
DATA = ("demo", "folder:", "parquet:", "idx:", "torchvision:", "hf:", "wds:", "fashion-mnist", "mnist", "cifar10")
_HERE = Path(__file__).parent.parent


def names(room: str, decorator: str) -> list[str]:
    """The names that a decorator enters in the files of a room, without running them.

    >>> "pgd" in names("attack", "register"), "timm" in names("models", "model_kind")
    (True, True)
    """
    pattern = re.compile(rf"^@{decorator}\(\s*\"([^\"]+)\"", re.MULTILINE)
    files = sorted((_HERE / room).glob("*.py"))
    return sorted(name for file in files for name in pattern.findall(file.read_text(encoding="utf-8")))


def complete_plan(incomplete: str) -> list[str]:
    """Plans, and YAML files."""
    return _starting(incomplete, [*PLANS, *_files(incomplete, (".yaml", ".yml"))])


def complete_data(incomplete: str) -> list[str]:
    """Kinds of data and named sets."""
    return _starting(incomplete, DATA)


def complete_model(incomplete: str) -> list[str]:
    """Kinds of models."""
    kinds = [k if k == "demo" else f"{k}:" for k in names("models", "model_kind")]
    return _starting(incomplete, [*kinds, "demo:standard", "demo:robust"])


def complete_attack(incomplete: str) -> list[str]:
    """Attacks."""
    return _starting(incomplete, names("attack", "register"))


def complete_certifier(incomplete: str) -> list[str]:
    """Certifiers."""
    return _starting(incomplete, names("certify", "register"))


def complete_detector(incomplete: str) -> list[str]:
    """Detectors."""
    return _starting(incomplete, names("detect", "register"))


def complete_room(incomplete: str) -> list[str]:
    """Rooms of methods."""
    return _starting(incomplete, [r.name for r in sorted(_HERE.iterdir()) if names(r.name, "register")])


def _starting(incomplete: str, known: Iterable[str]) -> list[str]:
    return [name for name in known if name.startswith(incomplete)]


def _files(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    folder = Path(incomplete).parent if incomplete else Path()
    if not folder.is_dir():
        return []
    return sorted(str(p) + ("/" if p.is_dir() else "") for p in folder.iterdir() if p.is_dir() or p.suffix in suffixes)
