"""Submissions: a finished run in one file, a zip of its record and rows with a digest of each."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.documents import check_regular, parse_json, validate
from unshaken.core.errors import RunError
from unshaken.core.numbers import shorten
from unshaken.store.config import NAME as CONFIG
from unshaken.store.config import UNFINISHED, read_config
from unshaken.store.protocol import protocol_of
from unshaken.store.run_dir import RunDir

RECORD = "submission.json"
LARGEST = 4 << 30
"""Bytes of all files of a submission together."""
MOST_FILES = 200_000
_FILE = re.compile(r"run\.json|ids/[A-Za-z0-9._+-]+|rows/[a-z][a-z_]*/[A-Za-z0-9._+=-]+\.parquet")
DERIVED = ("embeddings", "map", "slices")
"""Tables that other commands add to a finished run, of which no figure of a board is made."""
_WHEN = (1980, 1, 1, 0, 0, 0)
"""The date of every file of the zip, so that the same run always makes the same bytes."""


class Submission(BaseModel):
    """The record of a submission.

    Args:
        protocol: digest of the run's protocol.
        model_name: of the run.
        model_fingerprint: of weights and code.
        files: path to SHA-256 of each file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    schema_: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    protocol: str = Field(pattern="^[0-9a-f]{32}$")
    model_name: str
    model_fingerprint: str
    files: dict[str, str] = Field(min_length=1, max_length=MOST_FILES)


def pack_run(run: RunDir) -> bytes:
    """A run as a submission: its record and the rows that it computed, without images, pages, logs and `DERIVED`.

    Args:
        run: a whole run that has finished.

    Raises:
        RunError: there is no run, it is a part or has not finished, or a file is damaged.
    """
    config = read_config(run)
    if config.part is not None:
        raise RunError(f"{run}: it is part {config.part} of a run: join all parts by unshaken merge first")
    if run.exists(UNFINISHED):
        raise RunError(f"{run}: the run has not finished: finish it by its command with --resume")
    run.check_marks()
    names = [CONFIG, *(f"ids/{file}" for file in run.names("ids"))]
    names += [
        f"rows/{table}/{file}"
        for table in run.names("rows")
        if table not in DERIVED
        for file in run.names("rows", table)
    ]
    files = {name: run.read(*name.split("/")) for name in sorted(names) if _FILE.fullmatch(name)}
    record = Submission(
        schema=1, protocol=protocol_of(config).digest, model_name=config.model_name,
        model_fingerprint=config.model_fingerprint,
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    )  # fmt: skip
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in {RECORD: record.model_dump_json(by_alias=True, indent=1).encode(), **files}.items():
            archive.writestr(zipfile.ZipInfo(name, _WHEN), data)
    return made.getvalue()


def unpack_run(file: Path, into: Path) -> Submission:
    """Write the run of a submission to a folder, once every file has the digest of the record.

    Args:
        file: the submission.
        into: a new or empty folder, which becomes a run directory without a report.

    Returns:
        The record.

    Raises:
        RunError: it is no submission, or a file is absent, changed or not one of a run.
        DataError: it is no regular file.
    """
    check_regular(file)
    try:
        with zipfile.ZipFile(file) as archive:
            record = _read_record(file, archive)
            for name, digest in record.files.items():
                data = archive.read(name)
                if hashlib.sha256(data).hexdigest() != digest:
                    raise RunError(f"{file}: {name} was changed after the submission was made; ask for it again")
                place = into / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError) as error:
        raise RunError(f"{file}: no submission ({error}); make one by unshaken board submit RUN --out FILE") from None
    config = read_config(run := RunDir(into))
    for what, recorded, found in (
        ("protocol", record.protocol, protocol_of(config).digest),
        ("model", record.model_fingerprint, config.model_fingerprint),
    ):
        if recorded != found:
            raise RunError(f"{file}: its {what} is {shorten(found)}, and its record says {shorten(recorded)}")
    run.check_marks()
    return record


def _read_record(file: Path, archive: zipfile.ZipFile) -> Submission:
    """The record of a zip that holds the files that it names, and no others."""
    entries = archive.infolist()
    size = sum(entry.file_size for entry in entries)
    if size > LARGEST or len(entries) > MOST_FILES:
        raise RunError(f"{file}: {len(entries):,} files of {size:,} bytes, more than a submission may have")
    names = [entry.filename for entry in entries]
    if RECORD not in names:
        raise RunError(f"{file}: no submission (no {RECORD}); make one by unshaken board submit RUN --out FILE")
    where = f"{file}: {RECORD}"
    record = validate(
        Submission, parse_json(archive.read(RECORD), where, RunError), where, RunError, "ask for it again"
    )
    odd = next((name for name in record.files if not _FILE.fullmatch(name)), None)
    if odd is not None:
        raise RunError(f"{file}: {shorten(odd)} is no file of a run")
    if absent := sorted(record.files.keys() - set(names)):
        raise RunError(f"{file}: {absent[0]} is missing")
    if sorted(names) != sorted([RECORD, *record.files]):
        further = next(name for name in names if names.count(name) > 1 or name not in (RECORD, *record.files))
        raise RunError(f"{file}: {shorten(further)} stands in it twice, or not in its record")
    return record
