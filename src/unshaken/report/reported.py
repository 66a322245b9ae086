"""`read_reported`: what other leaderboards' files say of models, as they say it: figures without rows and interval."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unshaken.core.documents import check_regular, parse_json, read_text, read_yaml
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import parse_number, shorten
from unshaken.core.texts import printable

ENDINGS = (".json", ".yaml", ".yml", ".csv")
"""Of files that are read."""
ROBUSTBENCH = {
    "clean_acc": "unchanged images",
    "autoattack_acc": "AutoAttack",
    "external": "the strongest attack known",
    "corruptions_acc": "corruptions",
    "corruptions_acc_3d": "3D corruptions",
}
"""Figures of RobustBench's `model_info`, in per cent, and what they are."""
LONGEST = 200
"""Characters that are kept of a text."""
LARGEST = 8 << 20
"""Bytes of a file."""
MOST = 10_000
"""Figures of a file."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A figure that somebody else states of a model.

    Args:
        model: its name.
        data: what it was measured on, as the file calls it.
        figure: what was measured.
        value: as it stands in the file.
        unit: `%`, or empty where the format names none.
        form: of the file: `robustbench`, `eval-results` or `timm`.
        source: the file.
    """

    model: str
    data: str
    figure: str
    value: float
    unit: str
    form: str
    source: str

    def to_json(self) -> dict[str, Any]:
        """As `board.json` holds it."""
        return asdict(self)


def is_reported(place: str) -> bool:
    """Whether a path is that of a file which `read_reported` may read.

    >>> is_reported("absent/model_info.json")
    False
    """
    return place.endswith(ENDINGS) and Path(place).is_file()


def read_reported(file: Path) -> list[Reported]:
    """Read RobustBench's `model_info` (`.json`), the hub's `.eval_results` (`.yaml`) or timm's `results-*.csv`.

    RobustBench's files are called as their model, and its folder as the threat model. A model of the hub is called as
    the folder that holds `.eval_results`. timm's data are those of the file's name.

    Args:
        file: whose ending tells which it is.

    Raises:
        DataError: it cannot be read, or is none of these.
    """
    check_regular(file)
    readers: dict[str, tuple[str, Callable[[Path], Iterator[Reported]]]] = {
        ".json": ("RobustBench's model_info", _robustbench),
        ".csv": ("timm's results", _timm),
    }
    what, read = readers.get(file.suffix, ("the hub's .eval_results", _eval_results))
    try:
        found = [one for _, one in zip(range(MOST + 1), read(file), strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except (KeyError, TypeError, AttributeError, ParameterError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{file}: no file of {what} ({why})") from None
    if not found or len(found) > MOST:
        raise DataError(f"{file}: {'no figure' if not found else f'more than {MOST:,} figures'} of {what}")
    return found


def _robustbench(file: Path) -> Iterator[Reported]:
    record = parse_json(read_text(file, LARGEST), str(file), DataError)
    record["clean_acc"]  # all of its files have it
    data = _text(record["dataset"])
    eps = _text(record.get("eps") or "")
    threat = f"{file.parent.name} " if file.parent.name in ("Linf", "L2") else ""
    for name, what in ROBUSTBENCH.items():
        if record.get(name) not in (None, ""):
            budget = f", {threat}{eps}" if eps and name in ("autoattack_acc", "external") else ""
            value = _number(record[name], name, most=100)
            yield Reported(_text(file.stem), data, f"{what}{budget}", value, "%", "robustbench", str(file))


def _eval_results(file: Path) -> Iterator[Reported]:
    record = read_yaml(file, str(file), DataError)
    if not isinstance(record, list):
        raise TypeError("not a list of results")
    folder = file.absolute().parent
    model = folder.parent.name if folder.name == ".eval_results" else file.stem
    for one in record:
        data, task = _text(one["dataset"]["id"]), _text(one["dataset"].get("task_id") or "")
        yield Reported(_text(model), data, task, _number(one["value"], "value"), "", "eval-results", str(file))


def _timm(file: Path) -> Iterator[Reported]:
    rows = csv.DictReader(io.StringIO(read_text(file, LARGEST)))
    for row in rows:
        model, data = _text(row["model"]), _text(file.stem.removeprefix("results-"))
        for name, what in (("top1", "unchanged images"), ("top5", "unchanged images, among five")):
            if name == "top1" or row.get(name):
                yield Reported(model, data, what, _number(row[name], name, most=100), "%", "timm", str(file))


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise TypeError(f"{shorten(str(value))} is no text")
    return printable(" ".join(str(value).split()))[:LONGEST]


def _number(value: Any, name: str, most: float = 1e12) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"{name} {shorten(str(value))} is no number")
    number = parse_number(str(value).strip().removesuffix("%"))
    if not -most <= number <= most or (most == 100 and number < 0):
        raise TypeError(f"{name} {shorten(str(value))} is out of range")
    return number
