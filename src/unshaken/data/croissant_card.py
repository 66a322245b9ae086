"""`croissant_card`: the metadata of a folder or a parquet file of images in MLCommons' format Croissant."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from unshaken.core.errors import DataError, ParameterError
from unshaken.data.croissant import ENUMERATION, IMAGE, LABEL, import_mlcroissant, quiet
from unshaken.data.dataset import Dataset
from unshaken.data.load import load_data
from unshaken.data.sample_metadata import ENDINGS
from unshaken.data.spec import divide, reason_of

ALLOWED = {"folder": ("split", "classes", "links"), "parquet": ("classes",)}
"""Kinds of SPEC that can be described, and the options that do not change what the files hold."""
RECORDS, CLASSES = "records", "classes"
"""Names of the two record sets."""
SCHEMA = "https://schema.org/"
KEPT = ("@context", "@type", "conformsTo", "distribution", "recordSet")
"""Entries that are written anew where a file is there; all others stay."""
_FORMS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "image/jpeg"),
    **dict.fromkeys((".tif", ".tiff"), "image/tiff"),
    **dict.fromkeys((".pbm", ".pgm", ".ppm", ".pnm"), "image/x-portable-anymap"),
}
_TABLES = {".csv": "text/csv", ".jsonl": "application/jsonlines", ".parquet": "application/x-parquet"}


def croissant_card(
    spec: str, *, folder: str | Path | None = None, name: str | None = None, old: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Describe data in the format Croissant, as `croissant:FILE` reads it.

    Args:
        spec: `folder:DIR` or `parquet:FILE`.
        folder: that the file of metadata will stand in, which must be the data's own; None for that.
        name: of the data set; None for that in `old`, or else of its folder or file.
        old: the file that is there, whose licence, authors and description stay; None for none.

    Returns:
        JSON-LD, checked by mlcroissant.

    Raises:
        ParameterError: the SPEC is of another kind, has options that change the samples, or lies elsewhere.
        DataError: the data cannot be opened, or cannot be described.
        MissingExtra: mlcroissant is absent.
    """
    mlc = import_mlcroissant("writing croissant files")
    kind, _, options = divide(spec)
    if kind not in ALLOWED:
        raise ParameterError(f"--data {spec!r}: a card is written for folder:DIR and parquet:FILE")
    if changing := [option for option in options if option not in ALLOWED[kind]]:
        raise ParameterError(f"--data {spec!r}: a card describes the files; leave {changing[0]} away")
    data = load_data(spec)
    root = Path(data.root)
    own = root if kind == "folder" else root.parent
    if folder is not None and Path(folder).resolve() != own:
        raise ParameterError(f"the card of {spec!r} must stand in the folder of its data: write it into {str(own)!r}")
    title = name or (old or {}).get("name") or root.stem or "data"
    try:
        with quiet():
            files, fields, key = (_folder if kind == "folder" else _parquet)(mlc, data)
            sets = [mlc.RecordSet(id=RECORDS, name=RECORDS, key=key and [key], fields=fields)]
            if data.classes:
                sets.append(_classes(mlc, data, kind))
            made = mlc.Metadata(
                name=title,
                description=f"{len(data):,} images"
                + (f" of {len(data.classes):,} classes." if data.classes else " without classes."),
                distribution=files,
                record_sets=sets,
            ).to_json()
            found = {**made, **{k: v for k, v in (old or {}).items() if k not in KEPT}, "name": title}
            mlc.Dataset(jsonld=found)
    except (DataError, ParameterError):
        raise
    except Exception as error:  # the package raises many kinds; the reason is kept
        raise DataError(f"data {spec!r} cannot be described: {reason_of(error)}") from error
    return dict(found)


def _folder(mlc: Any, data: Dataset) -> tuple[list[Any], list[Any], str | None]:
    """The files, the fields and the key of a folder of images."""
    endings = sorted({os.path.splitext(name)[1] for name in data.ids})
    images = mlc.FileSet(
        id="images",
        name="images",
        includes=[f"*{ending}" for ending in endings],
        encoding_formats=sorted({_FORMS.get(e.lower(), f"image/{e[1:].lower() or 'png'}") for e in endings}),
    )
    table = next((f for ending in ENDINGS if (f := Path(data.root, f"metadata{ending}")).is_file()), None)
    joined = None if table is None else _source(mlc, file_object=table.name, column="file_name")
    path = _source(mlc, file_set="images", file_property="fullpath", regex="^(.+)$")  # a text, to mlcroissant too
    content = _source(mlc, file_set="images", file_property="content")
    fields = [
        _field(mlc, "id", "Path of the image in the folder.", SCHEMA + "Text", source=path, references=joined),
        _field(mlc, "image", "The image.", IMAGE, source=content),
    ]
    if data.labels is not None:
        source = _source(mlc, file_set="images", file_property="fullpath", regex="^([^/]+)/")
        fields.append(_field(mlc, "label", "Class of the image.", SCHEMA + "Text", LABEL, source=source))
    if table is None:
        return [images], fields, f"{RECORDS}/id"
    return [images, _file(mlc, table)], [*fields, *_others(mlc, data, table)], f"{RECORDS}/id"


def _parquet(mlc: Any, data: Dataset) -> tuple[list[Any], list[Any], str | None]:
    """The file, the fields and the key of a parquet file."""
    path = Path(data.root)
    schema = pq.read_schema(path)
    step = "bytes" if schema.field("image").type.num_fields else None
    source = _source(mlc, file_object=path.name, column="image", json=step)
    fields = [_field(mlc, "image", "The image.", IMAGE, source=source)]
    key = f"{RECORDS}/id" if "id" in schema.names else None
    if key is not None:
        source = _source(mlc, file_object=path.name, column="id")
        fields.append(_field(mlc, "id", "Id of the image.", SCHEMA + "Text", source=source))
    if data.labels is not None:
        kind = "Text" if "string" in str(schema.field("label").type) else "Integer"
        source = _source(mlc, file_object=path.name, column="label")
        fields.append(_field(mlc, "label", "Class of the image.", SCHEMA + kind, LABEL, source=source))
    return [_file(mlc, path)], [*fields, *_others(mlc, data, path)], key


def _others(mlc: Any, data: Dataset, table: Path) -> list[Any]:
    """The fields of the columns of a table of samples."""
    return [
        _field(mlc, name, None, _type_of(values), source=_source(mlc, file_object=table.name, column=name))
        for name, values in data.columns().items()
    ]


def _classes(mlc: Any, data: Dataset, kind: str) -> Any:
    """The record set of the classes in label order: what the field `label` holds, and the name."""
    values: list[Any] = list(data.classes)
    if data.labels is not None:
        if kind == "folder":
            for name, label in zip(data.ids, data.labels.tolist(), strict=True):
                values[label] = name.partition("/")[0]
        elif "string" not in str(pq.read_schema(data.root).field("label").type):
            values = list(range(len(values)))
    kinds = ("Integer" if values and isinstance(values[0], int) else "Text", "Text")
    columns = (f"{CLASSES}/value", f"{CLASSES}/name")
    types = zip(columns, kinds, strict=True)
    return mlc.RecordSet(
        id=CLASSES,
        name=CLASSES,
        data_types=[ENUMERATION],
        key=[columns[0]],
        fields=[mlc.Field(id=one, name=one, data_types=[SCHEMA + kind]) for one, kind in types],
        data=[dict(zip(columns, pair, strict=True)) for pair in zip(values, data.classes, strict=True)],
    )


def _field(mlc: Any, name: str, description: str | None, *kinds: str, source: Any, references: Any = None) -> Any:
    more = {} if references is None else {"references": references}
    id = f"{RECORDS}/{name}"
    return mlc.Field(id=id, name=id, description=description, data_types=list(kinds), source=source, **more)


def _source(
    mlc: Any,
    *,
    file_set: str | None = None,
    file_object: str | None = None,
    column: str | None = None,
    file_property: str | None = None,
    regex: str | None = None,
    json: str | None = None,
) -> Any:
    properties = {} if file_property is None else {"file_property": file_property}
    steps = [mlc.Transform(regex=regex)] * (regex is not None) + [mlc.Transform(json_path=json)] * (json is not None)
    extract = mlc.Extract(column=column, **properties)
    return mlc.Source(file_set=file_set, file_object=file_object, extract=extract, transforms=steps)


def _file(mlc: Any, path: Path) -> Any:
    """A FileObject with the hash that Croissant asks for."""
    with path.open("rb") as file:
        digits = hashlib.file_digest(file, "sha256").hexdigest()
    return mlc.FileObject(
        id=path.name,
        name=path.name,
        content_url=path.name,
        content_size=f"{path.stat().st_size} B",
        encoding_formats=[_TABLES.get(path.suffix.lower(), _TABLES[".parquet"])],
        sha256=digits,
    )


def _type_of(values: Sequence[Any]) -> str:
    """The data type of a column in Croissant's words."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return SCHEMA + "Boolean"
    if kinds == {int}:
        return SCHEMA + "Integer"
    return SCHEMA + "Float" if kinds and kinds <= {int, float} else SCHEMA + "Text"
