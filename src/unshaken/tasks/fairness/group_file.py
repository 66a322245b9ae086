"""A CSV file of images with their labels and groups, as a data set."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.data.dataset import Dataset, digest
from unshaken.data.decode import Source
from unshaken.data.spec import Options

PATH = "path"


class GroupFile(Dataset):
    """Images that a CSV file lists, with a group each.

    Args:
        file: the CSV file.
        paths: of the images.
        groups: name of each image's group; empty where there is none, and the image is bad.
        given: label of each image as the file has it; empty for none.
        subjects: who or what each image shows.
        columns: the columns that the groups are made of.
    """

    def __init__(
        self, file: Path, paths: Sequence[Path], groups: Sequence[str], given: Sequence[str], subjects: Sequence[str],
        columns: Sequence[str],
    ) -> None:  # fmt: skip
        ids = [str(p.relative_to(file.parent)) if p.is_relative_to(file.parent) else p.name for p in paths]
        bad = {i: f"it has no {' or no '.join(columns)}" for i, name in enumerate(groups) if not name}
        super().__init__(
            ids=ids, labels=None, classes=(), root=str(file.parent), options=Options(spec=str(file)), bad=bad
        )
        self.file, self.divided_by = file, tuple(columns)
        self.groups, self.given, self.subjects = tuple(groups), tuple(given), tuple(subjects)
        self._paths = tuple(paths)

    @override
    def fetch(self, index: int) -> Source:
        return self._paths[index]

    @override
    def content(self) -> Iterable[object]:
        for index, path in enumerate(self._paths):
            mark = (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
            yield self.ids[index], self.groups[index], self.given[index], self.subjects[index], mark

    @property
    def fingerprint_of_groups(self) -> str:
        """32 hexadecimal digits of what the file says of the images."""
        return digest(*zip(self.ids, self.groups, self.given, self.subjects, strict=True))


def read_groups(
    file: str | Path, *, group: str | Sequence[str] = "group", label: str = "label", subject: str = "",
    convert: Mapping[str, Callable[[float], str]] | None = None,
) -> GroupFile:  # fmt: skip
    """Read a CSV file of images.

    Args:
        file: in UTF-8, with a first line of column names: `path` (relative to the file's folder), and those below.
        group: the column of the groups; or several, whose values together name a group, as `female, dark`.
        label: the column of the class; the file may lack it, and an image without a label has none.
        subject: the column of who or what is shown; empty where each image shows another.
        convert: column to what makes a group of its number, such as `{"income": income_bucket}`.

    Raises:
        DataError: the file cannot be read, lacks a column, lists an image twice, or a number cannot be converted.
        ParameterError: there is one group only.
    """
    path, columns = Path(file), [group] if isinstance(group, str) else list(group)
    rows = _read(path)
    known = list(rows[0])
    for name in (PATH, *columns, *filter(None, [subject])):
        if name not in known:
            raise DataError(f"{path}: has no column {name!r}; {did_you_mean(name, known)}")
    if label not in known and label != "label":
        raise DataError(f"{path}: has no column {label!r}; {did_you_mean(label, known)}")
    groups = [_group(path, number, row, columns, convert or {}) for number, row in enumerate(rows, 2)]
    if len(there := sorted({name for name in groups if name})) < 2:
        raise ParameterError(
            f"{path}: the column {' and '.join(map(repr, columns))} has {len(there)} group{'' if there else 's'} "
            f"{there}: two are needed to compare"
        )
    places = [path.parent / (row[PATH] or "").strip() for row in rows]
    owners = [(row[subject] or "").strip() if subject else "" for row in rows]
    return GroupFile(
        path,
        places,
        groups,
        [(row.get(label) or "").strip() for row in rows],
        [owner or f"image {number}" for number, owner in enumerate(owners)],
        columns,
    )


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if not rows:
        raise DataError(f"{path}: holds no images; give a first line with the columns path, label and group, then rows")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise DataError(f"{path}: line {number} has not as many values as there are columns ({len(rows[0])})")
    return rows


def _group(
    path: Path, line: int, row: Mapping[str, str], columns: Sequence[str], convert: Mapping[str, Callable[[float], str]]
) -> str:
    """The name of a row's group; empty where a column has no value."""
    found = []
    for name in columns:
        value = (row[name] or "").strip()
        if value and name in convert:
            try:
                value = convert[name](float(value))
            except (ValueError, ParameterError) as error:
                raise DataError(f"{path}: line {line}: {name} {value!r} makes no group ({error})") from None
        if not value:
            return ""
        found.append(value)
    return ", ".join(found)
