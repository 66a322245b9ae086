"""`croissant:FILE`: images and columns that a file of metadata in MLCommons' format Croissant describes.

The package `mlcroissant` parses the file and checks it. The files that it names are read here: no image is decoded when
the data are opened, nothing is fetched from the network, no archive is unpacked, and no file outside the folder of
FILE is opened.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.documents import parse_json, read_text
from unshaken.core.errors import DataError, MissingExtra, did_you_mean
from unshaken.core.numbers import shorten
from unshaken.data.dataset import Dataset, file_mark
from unshaken.data.decode import Source
from unshaken.data.folder import ImageFile, is_inside, list_images
from unshaken.data.labels import labels_from
from unshaken.data.parquet import ParquetDataset, ids_from, open_parquet
from unshaken.data.sample_metadata import ENDINGS, plain_columns, read_table
from unshaken.data.spec import Options, existing, reason_of

LARGEST = 64 << 20
"""Bytes of a file of metadata."""
IMAGE, ENUMERATION = "https://schema.org/ImageObject", "https://schema.org/Enumeration"
LABEL, SPLIT = "http://mlcommons.org/croissant/Label", "http://mlcommons.org/croissant/Split"
_NUMBERS = {
    "https://schema.org/Boolean": pa.bool_(),
    "https://schema.org/Float": pa.float64(),
    "https://schema.org/Integer": pa.int64(),
}


class CroissantDataset(Dataset):
    """Records of a Croissant file; an id is the record set's key, or else the image's path or its row.

    Args:
        images: of all records: files, or rows of a parquet file.
        rows: int64 `[N]`, the records that are samples.
        others: columns beside id and label, with a row for each sample.
        described: the file of metadata and the tables that it names.
        entries: see `Dataset`.
    """

    def __init__(
        self,
        images: Sequence[ImageFile] | ParquetDataset,
        rows: NDArray[np.int64],
        others: pa.Table,
        described: Sequence[Path],
        **entries: Any,
    ) -> None:
        super().__init__(**entries)
        self._images, self._rows, self._others, self._described = images, rows, others, described

    @override
    def fetch(self, index: int) -> Source:
        row = int(self._rows[index])
        return self._images.fetch(row) if isinstance(self._images, ParquetDataset) else Path(self._images[row].path)

    @override
    def columns(self) -> dict[str, list[Any]]:
        return {**super().columns(), **plain_columns(self._others)}

    @override
    def content(self) -> Iterable[object]:
        for path in self._described:
            yield file_mark(path)
        if isinstance(self._images, ParquetDataset):
            yield from self._images.content()
        else:
            yield from ((f.id, f.mark) for f in self._images)
        yield self._rows.tobytes()


def open_croissant(target: str, options: Options) -> CroissantDataset:
    """Open the record set of images that a Croissant file describes.

    Its images are files of a FileSet beside FILE, or the column `image` of a parquet file. The label is the field of
    type `cr:Label`, or else named `label`; its classes are the inline data of the record set that it references, or
    else of the only one of type `sc:Enumeration`, in this order. The id is the record set's key, or the field `id`.
    Other fields of words and numbers are columns of the samples, also from a CSV, JSONL or parquet file that a field
    references. Lists and records are left out.

    Args:
        target: the file.
        options: `split` takes the records whose field of type `cr:Split`, or else named `split`, has this value;
            `records` names one of several record sets of images.

    Raises:
        DataError: the file is no valid Croissant, or describes what is not read here.
        MissingExtra: mlcroissant is absent.
    """
    path = existing(target, options.spec, folder=False)
    reader = _Reader(path, _parse(path, options.spec), options)
    images, count, named = reader.images()
    split, rows = reader.find_field(SPLIT, "split"), np.arange(count)
    if options.split is not None:
        if split is None:
            raise DataError(f"data {options.spec!r} has no field 'split'; leave the option split away")
        values = [str(value) for value in reader.values(split).to_pylist()]
        rows = np.flatnonzero(np.array([value == options.split for value in values], bool))
        if not len(rows):
            raise DataError(
                f"data {options.spec!r} has no records of split {options.split!r}; "
                f"{did_you_mean(options.split, set(values))}"
            )
    key = reader.key()
    ids = pa.chunked_array([named] if key is None else reader.values(key).chunks).take(rows)
    label = reader.find_field(LABEL, "label", "labels")
    labels, classes, bad = (None, (), {}) if label is None else reader.labels(label, rows)
    if not isinstance(images, ParquetDataset):
        bad = {**bad, **{i: str(images[row].bad) for i, row in enumerate(rows.tolist()) if images[row].bad}}
    others = {
        _name(field): reader.values(field).take(rows)
        for field in reader.record_set.fields
        if field not in (reader.image, label) and field is not key and reader.is_plain(field)
    }
    return CroissantDataset(
        images,
        rows,
        pa.table(others),
        [path, *reader.tables],
        ids=ids_from(ids, options.spec),
        labels=labels,
        classes=classes,
        root=str(path),
        options=options,
        bad=bad,
    )


def _parse(path: Path, spec: str) -> Any:
    """The metadata of a file, checked by mlcroissant.

    Raises:
        DataError, MissingExtra: see `open_croissant`.
    """
    mlc = import_mlcroissant("reading croissant: data")
    try:
        text = read_text(path, LARGEST)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data {spec!r} cannot be read: {reason_of(error)}") from error
    document = parse_json(text, f"data {spec!r}: {path.name}", DataError)
    if not isinstance(document, dict) or not isinstance(document.get("@context"), dict):
        raise DataError(f"data {spec!r}: {path.name} is no Croissant file: a table with a table @context is needed")
    if _names_addresses(document):
        raise DataError(f"data {spec!r}: its @context is an address, which is not fetched; write the context out")
    try:
        with quiet():
            return mlc.Dataset(jsonld=document).metadata
    except RecursionError:
        raise DataError(f"data {spec!r}: {path.name} is nested too deeply") from None
    except Exception as error:  # the package raises many kinds; the reason is kept
        raise DataError(f"data {spec!r}: {path.name} is no valid Croissant file: {reason_of(error)}") from error


def import_mlcroissant(why: str) -> Any:
    """The package `mlcroissant`.

    Raises:
        MissingExtra: it is absent.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the packages that it imports
            import mlcroissant
    except ImportError as error:
        raise MissingExtra("mlcroissant", "croissant", why) from error
    return mlcroissant


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the package recommends, such as a licence, off stderr."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _names_addresses(node: Any) -> bool:
    """Whether a part of a document has a context elsewhere, which the parser would fetch."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "@import" in one or not isinstance(one.get("@context", {}), dict):
                return True
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return False


def _name(field: Any) -> str:
    """The name of a field without that of its record set."""
    return str(field.uuid).rpartition("/")[2]


class _Reader:
    """Reads the fields of the record set of images.

    Args:
        path: of the Croissant file.
        metadata: as mlcroissant parsed it.
        options: of the SPEC.

    Raises:
        DataError: there is no record set of images, or several.
    """

    def __init__(self, path: Path, metadata: Any, options: Options) -> None:
        self._folder, self._metadata, self._options = path.parent, metadata, options
        self._where = f"data {options.spec!r}"
        self._sources = {str(one.uuid): one for one in metadata.distribution}
        self._fields = {str(f.uuid): (f, r) for r in metadata.record_sets for f in r.fields}
        self.tables: list[Path] = []
        self._frames: dict[str, pa.Table] = {}
        with_images = {str(r.uuid): r for r in metadata.record_sets if any(_is_image(f) for f in r.fields)}
        if options.records is not None:
            if options.records not in with_images:
                known = ", ".join(with_images) or "none"
                raise DataError(f"{self._where} has no record set {options.records!r} of images; it has {known}")
            with_images = {options.records: with_images[options.records]}
        if len(with_images) != 1:
            how = f"; choose one: ?records={next(iter(with_images))}" if with_images else ""
            raise DataError(f"{self._where} has {len(with_images) or 'no'} record sets with a field of images{how}")
        self.record_set = next(iter(with_images.values()))
        found = [f for f in self.record_set.fields if _is_image(f)]
        self.image = next((f for f in found if _name(f) == "image"), found[0])
        self._base = str(self.image.source.uuid)

    def images(self) -> tuple[Sequence[ImageFile] | ParquetDataset, int, pa.Array]:
        """The images of all records, their number, and what stands for ids where no field has them."""
        source, place = self._sources.get(self._base), self.image.source.extract
        if source is None:
            raise DataError(f"{self._where}: the images of field {self.image.uuid!r} are in no file that it describes")
        if hasattr(source, "includes"):
            files = self._list_files(source)
            return files, len(files), pa.array([f.id for f in files])
        path = self._local(source)
        if place.column != "image" or path.suffix.lower() != ".parquet":
            raise DataError(
                f"{self._where}: images are read from files or from the column 'image' of a parquet file, and field "
                f"{self.image.uuid!r} is {place.column or place.file_property!r} of {path.name}"
            )
        self.tables.append(path)
        found = open_parquet(str(path), Options(self._options.spec))
        return found, len(found), pa.array(map(str, range(len(found))), pa.string())

    def find_field(self, kind: str, *names: str) -> Any | None:
        """The field of a type, or else of one of these names; None where there is none."""
        fields = [f for f in self.record_set.fields if f is not self.image]
        typed = [f for f in fields if kind in map(str, f.data_types or ())]
        return next(iter([*typed, *(f for f in fields if _name(f) in names)]), None)

    def key(self) -> Any | None:
        """The field of the ids; None where there is none."""
        keys = [str(name) for name in self.record_set.key or ()]
        fields = [f for f in self.record_set.fields if str(f.uuid) in keys]
        if len(keys) == 1 and fields:
            return fields[0]
        return next((f for f in self.record_set.fields if _name(f) == "id"), None)

    def labels(self, field: Any, rows: NDArray[np.int64]) -> tuple[Any, tuple[str, ...], dict[int, str]]:
        """Labels, class names and the reasons of bad labels of some records."""
        column = self.values(field).take(rows)
        target = field.references.field if field.references else None
        referenced, owner = self._fields.get(str(target), (None, None))
        if target is None:
            sets = [r for r in self._metadata.record_sets if r.data and ENUMERATION in map(str, r.data_types or ())]
            if len(sets) == 1 and sets[0].fields:
                owner = sets[0]
                referenced = next((f for f in owner.fields if [str(f.uuid)] == owner.key), owner.fields[0])
        if owner is None or not owner.data:
            return labels_from(column, (), self._options.spec)
        name = next((str(f.uuid) for f in owner.fields if _name(f) == "name"), str(referenced.uuid))
        keys, names = ([str(entry.get(one)) for entry in owner.data] for one in (str(referenced.uuid), name))
        labels, _, bad = labels_from(pc.cast(column, pa.string()), keys, self._options.spec)
        return labels, tuple(names), bad

    def is_plain(self, field: Any) -> bool:
        """Whether a field holds words or numbers that are read here."""
        source = field.source
        known = source and str(source.uuid) in self._sources and not (field.sub_fields or _is_image(field))
        lists = getattr(field, "repeated", None) or getattr(field, "is_array", None)
        plain = known and not lists and not any(_kind_of(t) != "regex" for t in source.transforms)
        if not plain or source.extract.json_path:
            return False
        extract = source.extract
        return extract.column is not None or extract.file_property.name in ("fullpath", "filename")

    def values(self, field: Any) -> pa.ChunkedArray:
        """The values of a field, one a record.

        Raises:
            DataError: it cannot be read.
        """
        if not self.is_plain(field):
            raise DataError(f"{self._where}: field {field.uuid!r} is no column of words or numbers that is read")
        uuid = str(field.source.uuid)
        column = self._column(field.source, f"field {field.uuid!r}")
        if uuid != self._base:
            column = column.take(self._joins[uuid]) if uuid in self._joins else None
            if column is None:
                raise DataError(
                    f"{self._where}: field {field.uuid!r} is of {uuid!r}, which no field joins to the images"
                )
        kind = next((_NUMBERS[str(t)] for t in field.data_types or () if str(t) in _NUMBERS), None)
        if kind is None or not pa.types.is_string(column.type):
            return column
        try:
            return pc.cast(column, kind)
        except pa.ArrowException as error:
            raise DataError(
                f"{self._where}: field {field.uuid!r} is not as its type says: {reason_of(error)}"
            ) from None

    @cached_property
    def _joins(self) -> Mapping[str, pa.Array]:
        """For each table that a field references its row for each record, null where it has none."""
        found: dict[str, pa.Array] = {}
        for field in self.record_set.fields:
            one, other = field.source, field.references
            if not one or not other:
                continue
            if other.field:
                target, owner = self._fields.get(str(other.field), (None, None))
                if target is None or owner.data or not target.source:
                    continue
                other = target.source
            if str(other.uuid) == self._base:
                one, other = other, one
            if str(one.uuid) != self._base or str(other.uuid) == self._base:
                continue
            left, right = (self._column(s, f"field {field.uuid!r}").to_pylist() for s in (one, other))
            place = {str(value): row for row, value in enumerate(right)}
            if len(place) < len(right):
                twice = next(v for row, v in enumerate(right) if place[str(v)] != row)
                raise DataError(f"{self._where}: {other.uuid!r} has {shorten(str(twice))} more than once")
            found[str(other.uuid)] = pa.array([place.get(str(value)) for value in left], pa.int64())
        return found

    def _column(self, source: Any, what: str) -> pa.ChunkedArray:
        """The values of a source as its table has them, with its transformations."""
        uuid, extract = str(source.uuid), source.extract
        if uuid not in self._sources:
            raise DataError(f"{self._where}: {what} is of {uuid!r}, which is no file that it describes")
        one = self._sources[uuid]
        if uuid not in self._frames:
            if hasattr(one, "includes"):
                ids = [f.id for f in self._list_files(one)]
                names = [name.rpartition("/")[2] for name in ids]
                self._frames[uuid] = pa.table(
                    {"fullpath": pa.array(ids, pa.string()), "filename": pa.array(names, pa.string())}
                )
            else:
                self._frames[uuid] = self._table(one, extract.column)
        table = self._frames[uuid]
        name = extract.column if extract.column is not None else getattr(extract.file_property, "name", "")
        if name not in table.column_names:
            raise DataError(
                f"{self._where}: {what} is no column of {uuid!r}; {did_you_mean(str(name), table.column_names)}"
            )
        column = table[name]
        if not source.transforms:
            return column
        values = column.cast(pa.string()).to_pylist()
        for transform in source.transforms:
            try:
                pattern = re.compile(transform.regex)
            except re.error as error:
                raise DataError(
                    f"{self._where}: {what} has the regular expression {transform.regex!r}: {error}"
                ) from None
            values = [_first_group(pattern, value) for value in values]
        return pa.chunked_array([pa.array(values, pa.string())])

    def _table(self, source: Any, key: str | None) -> pa.Table:
        """The columns of words and numbers of a file."""
        path = self._local(source)
        if path.suffix.lower() not in ENDINGS:
            raise DataError(
                f"{self._where}: {path.name} is no table that is read; its name must end in {', '.join(ENDINGS)}"
            )
        if path not in self.tables:
            self.tables.append(path)
        try:
            return read_table(path, key or "")
        except (OSError, pa.ArrowException, ValueError, KeyError) as error:
            raise DataError(f"{self._where}: {path.name} cannot be read: {reason_of(error)}") from error

    def _list_files(self, source: Any) -> list[ImageFile]:
        """The image files of a FileSet, in the order of their paths."""
        if source.contained_in:
            raise DataError(
                f"{self._where}: the files of {source.uuid!r} lie in an archive or a repository; unpack it beside the "
                "file and take containedIn away"
            )
        patterns, but = (list(p or ()) for p in (source.includes, getattr(source, "excludes", None)))
        files = [
            f
            for f in list_images(self._folder, self._options)
            if any(fnmatchcase(f.id, p) for p in patterns) and not any(fnmatchcase(f.id, p) for p in but)
        ]
        if not files:
            raise DataError(f"{self._where}: no image of {source.uuid!r} ({', '.join(patterns)}) lies in its folder")
        return files

    def _local(self, source: Any) -> Path:
        """The file of a FileObject.

        Raises:
            DataError: it is on the network, in an archive, absent, or outside the folder of the Croissant file.
        """
        address = str(source.content_url or "")
        if source.contained_in:
            raise DataError(f"{self._where}: {source.uuid!r} lies in an archive; unpack it and take containedIn away")
        if not address or re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address):
            raise DataError(
                f"{self._where}: {source.uuid!r} is on the network ({shorten(address) or 'no contentUrl'}); fetch it, "
                "put it beside the file, and write its path as contentUrl"
            )
        path = existing(str(self._folder / address), self._options.spec, folder=False)
        if not is_inside(str(path), str(self._folder)):
            raise DataError(f"{self._where}: {source.uuid!r} leads out of the file's folder ({shorten(address)})")
        return path


def _is_image(field: Any) -> bool:
    return IMAGE in map(str, field.data_types or ())


def _kind_of(transform: Any) -> str:
    """The name of what a transformation does."""
    kinds = ("regex", "json_path", "separator", "format", "replace", "read_lines", "sampling_rate", "un_archive")
    return next((kind for kind in kinds if getattr(transform, kind, None) is not None), "")


def _first_group(pattern: re.Pattern[str], value: str | None) -> str | None:
    """Take the first group that matched out of a text; the whole text where the expression does not match."""
    found = None if value is None else pattern.match(value)
    return value if found is None else next((group for group in found.groups() if group is not None), value)
