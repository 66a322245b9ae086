"""Shell completion. It must be quick, so names are read from sources instead of importing them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from unshaken.core.sources import ROOMS, keys_of, sources_of


def names(room: str, decorator: str = "register") -> list[str]:
    """The names that a decorator enters in the files of a room, or of a folder in it, without running them.

    >>> "pgd" in names("attack"), "timm" in names("models", "model_kind")
    (True, True)
    """
    return sorted(source.name for source in sources_of(room, decorator))


def complete_plan(incomplete: str) -> list[str]:
    """Plans, and YAML files."""
    return _starting(incomplete, [*keys_of("run/plan.py", "PLANS"), *_files(incomplete, (".yaml", ".yml"))])


def complete_data(incomplete: str) -> list[str]:
    """Kinds of data and named sets."""
    kinds, named = keys_of("data/load.py", "SOURCES"), keys_of("data/named.py", "NAMED")
    return _starting(incomplete, ["demo", *(f"{kind}:" for kind in kinds), *named])


def complete_model(incomplete: str) -> list[str]:
    """Kinds of models."""
    kinds = [k if k == "demo" else f"{k}:" for k in names("models", "model_kind")]
    return _starting(incomplete, [*kinds, "demo:standard", "demo:robust"])


def complete_attack(incomplete: str) -> list[str]:
    """Attacks."""
    return _starting(incomplete, names("attack"))


def complete_certifier(incomplete: str) -> list[str]:
    """Certifiers."""
    return _starting(incomplete, names("certify"))


def complete_detector(incomplete: str) -> list[str]:
    """Detectors."""
    return _starting(incomplete, names("detect"))


def complete_explanation(incomplete: str) -> list[str]:
    """Attributions and analyses."""
    return _starting(incomplete, sorted({*names("explain")} - {*names("explain/metrics")}))


def complete_map_metric(incomplete: str) -> list[str]:
    """Metrics of maps."""
    return _starting(incomplete, names("explain/metrics"))


def complete_room(incomplete: str) -> list[str]:
    """Rooms of methods."""
    return _starting(incomplete, [room for room in ROOMS if names(room)])


def _starting(incomplete: str, known: Iterable[str]) -> list[str]:
    return [name for name in known if name.startswith(incomplete)]


def _files(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    folder = Path(incomplete).parent if incomplete else Path()
    if not folder.is_dir():
        return []
    return sorted(str(p) + ("/" if p.is_dir() else "") for p in folder.iterdir() if p.is_dir() or p.suffix in suffixes)
