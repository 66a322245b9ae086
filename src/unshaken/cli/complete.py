"""Shell completion. It must be quick, so names are read from sources instead of importing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from unshaken.core.sources import ROOMS, keys_of, sources_of


def names(room: str, decorator: str = "register") -> list[str]:
    """The names that a decorator enters in the files of a room, or of a folder in it, without running them.

    >>> "pgd" in names("attack"), "timm" in names("models", "model_kind")
    (True, True)
    """
    return sorted(source.name for source in sources_of(room, decorator))


def complete_plan(incomplete: str) -> list[str]:
    """Complete the name of a plan or of a YAML file."""
    return [*_starting(incomplete, keys_of("run/plan.py", "PLANS")), *complete_yaml(incomplete)]


def complete_yaml(incomplete: str) -> list[str]:
    """Complete the name of a YAML file."""
    folder = Path(incomplete).parent if incomplete else Path()
    there = folder.iterdir() if folder.is_dir() else ()
    files = sorted(f"{p}/" if p.is_dir() else str(p) for p in there if p.is_dir() or p.suffix in (".yaml", ".yml"))
    return _starting(incomplete, files)


def complete_data(incomplete: str) -> list[str]:
    """Complete a data SPEC: kinds of data and named sets."""
    kinds, named = keys_of("data/load.py", "SOURCES"), keys_of("data/named.py", "NAMED")
    return _starting(incomplete, ["demo", *(f"{kind}:" for kind in kinds), *named])


def complete_model(incomplete: str) -> list[str]:
    """Complete a model SPEC by kinds of models."""
    kinds = [k if k == "demo" else f"{k}:" for k in names("models", "model_kind")]
    return _starting(incomplete, [*kinds, "demo:standard", "demo:robust"])


def complete_methods(room: str, *, without: str = "") -> Callable[[str], list[str]]:
    """Make the completion of the names of a room's methods.

    Args:
        room: such as `attack`, or a folder in it.
        without: folder of the room whose methods are left out.
    """

    def complete(incomplete: str) -> list[str]:
        known = names(room)
        return _starting(incomplete, sorted({*known} - {*names(without)}) if without else known)

    return complete


def complete_room(incomplete: str) -> list[str]:
    """Complete the name of a room that has methods, `fool` or `evaluations`."""
    return _starting(incomplete, [*(room for room in ROOMS if room != "tasks" and names(room)), "fool", "evaluations"])


def _starting(incomplete: str, known: Iterable[str]) -> list[str]:
    return [name for name in known if name.startswith(incomplete)]
