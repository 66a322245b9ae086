"""`RunDir`: a run directory on any file system that fsspec knows. What is there is whole."""

from __future__ import annotations

import errno
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor
from typing_extensions import override

from unshaken.core.documents import parse_json, refuse_later
from unshaken.core.errors import RunError, UnshakenError, is_out_of_memory
from unshaken.store.address import bare, bare_message, check_writable, open_address
from unshaken.store.mark import marked, wrong_mark
from unshaken.store.output import kind_of, temporary_name
from unshaken.store.read_rows import parse_rows
from unshaken.store.tables import schema_of
from unshaken.store.tensor_file import TensorFile

LARGE_EXAMPLE = 2**20
"""Bytes of a kept image above which it is not held in memory: to map it anew costs less than to read it."""
_TEMPORARY = re.compile(r"\.unshaken-[0-9a-f]{32}\.tmp$")


class RunDir:
    """A run directory.

    Args:
        path: a local folder or an fsspec address such as `s3://bucket/run` or `memory://run`; texts and messages show
            it without a password.

    Raises:
        RunError: the address has no known file system.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(path)
        self.fs, self.root = open_address(self.path)
        self.identity = ""  # of the run, once its configuration is known: see `identify`
        self.local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))

    @override
    def __str__(self) -> str:
        """The address for people: without user and password; `path` has them."""
        return bare(self.path)

    @override
    def __repr__(self) -> str:
        return f"RunDir({bare(self.path)!r})"

    def identify(self, identity: str) -> None:
        """Say whose rows these are: from here on rows are written with it, and rows of another run are refused."""
        self.identity = identity

    def at(self, *parts: str) -> str:
        """The path of a file in the directory."""
        return "/".join((self.root, *parts))

    def exists(self, *parts: str) -> bool:
        """Whether a file is there now, whatever this process has listed before; a link to nothing is one too."""
        path = self.at(*parts)
        self.fs.invalidate_cache(path.rpartition("/")[0])
        return bool(self.fs.exists(path)) or (self.local and os.path.islink(path))

    def write(self, data: bytes | TensorFile, *parts: str) -> None:
        """Write a file whole or not at all: a temporary file, fsync, rename.

        Raises:
            RunError: the disk is full or the place is not writable; what was there before stays.
        """
        path = self.at(*parts)
        check_writable(self.fs, self.path)
        with self.explained():
            self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            if not self.local:  # object stores make an object appear whole
                self.fs.pipe_file(path, data.to_bytes() if isinstance(data, TensorFile) else data)
                return
            if (kind := kind_of(path)) is not None:
                raise RunError(f"{self}: {'/'.join(parts)} is {kind}; delete it, or choose another --out")
            with _temporary_file(path, data) as temporary:
                os.replace(temporary, path)
            try:
                folder = os.open(os.path.dirname(path), os.O_RDONLY)
            except PermissionError:  # Windows opens no folder; the file itself is on the disk
                return
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def create(self, data: bytes, *parts: str) -> bool:
        """Write a file whole where there is none; of several that try at once one does.

        Returns:
            Whether it was written; False where a file is there.

        Raises:
            RunError: the disk is full or the place is not writable.
        """
        path = self.at(*parts)
        check_writable(self.fs, self.path)
        with self.explained():
            self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            try:
                if not self.local:
                    self.fs.pipe_file(path, data, mode="create")
                    return True
                with _temporary_file(path, data) as temporary:
                    os.link(temporary, path)
            except FileExistsError:
                return False
            return True

    def read(self, *parts: str) -> bytes:
        """A file's bytes.

        Raises:
            RunError: it is absent or not readable.
        """
        self.check_file(*parts)
        try:
            return bytes(self.fs.cat_file(self.at(*parts)))
        except Exception as error:  # each file system raises its own
            raise RunError(
                f"{self}: cannot read {'/'.join(parts)} ({_reason(error, self.path)}); is this a run directory?"
            ) from None

    def check_file(self, *parts: str) -> None:
        """Refuse a device, a pipe or a link to nothing in the place of a file: reading it might never end.

        Raises:
            RunError: it is one.
        """
        path = self.at(*parts)
        if self.local and os.path.lexists(path) and not os.path.isfile(path):
            raise RunError(f"{self}: {'/'.join(parts)} is no regular file; delete it")

    def remove(self, *parts: str) -> None:
        """Delete a file if it is there."""
        if self.exists(*parts):
            self.fs.rm_file(self.at(*parts))

    def sweep(self) -> None:
        """Delete the temporary files that a killed writer left; only for who holds the lock.

        They are known by the names that `write` gives. Other files stay, and so do those of runs inside this one.
        """
        for folder, inside, files in os.walk(self.root) if self.local else ():
            inside[:] = [name for name in inside if not _is_run(os.path.join(folder, name))]
            for name in filter(_TEMPORARY.search, files):
                os.unlink(os.path.join(folder, name))

    def names(self, *parts: str, suffix: str = "") -> list[str]:
        """Sorted names of the files in a folder; empty when it is absent."""
        folder = self.at(*parts)
        self.fs.invalidate_cache(folder)  # other processes write here too
        if not self.fs.isdir(folder):
            return []
        found = (p.rpartition("/")[2] for p in self.fs.ls(folder, detail=False))
        return sorted(n for n in found if n.endswith(suffix) and not n.endswith(".tmp"))

    # Pictures, JSON, rows and tensors.

    def write_png(self, image: Tensor, *parts: str) -> None:
        """Write an image `[C, H, W]` in [0, 1], 1 or 3 channels, as a PNG of 8 bits, whole or not at all."""
        pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        buffer = io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
        self.write(buffer.getvalue(), *parts)

    def write_json(self, value: Any, *parts: str) -> None:
        """Write JSON, whole or not at all; a table that says no `schema` gets the first, 1."""
        self.write(_as_json(value), *parts)

    def create_json(self, value: Any, *parts: str) -> bool:
        """Write JSON where there is no file; see `create`."""
        return self.create(_as_json(value), *parts)

    def read_json(self, *parts: str, newest: int = 1) -> Any:
        """Read JSON.

        Args:
            parts: folders and name.
            newest: the largest `schema` that is read.

        Raises:
            RunError: it is absent, damaged, or has a larger `schema`.
        """
        value = parse_json(self.read(*parts), where := f"{self}: {'/'.join(parts)}", RunError, "start a new run")
        refuse_later(value, where, RunError, newest=newest)
        return value

    def write_rows(self, table: pa.Table, name: str, condition: str, shard: int) -> None:
        """Write one condition's rows of one shard, whole or not at all."""
        buffer, file = io.BytesIO(), f"{condition}-{shard:05d}.parquet"
        own = marked(table, self.identity, f"{name}/{file}")
        pq.write_table(own, buffer, compression="zstd", write_page_checksum=True)
        self.write(buffer.getvalue(), "rows", name, file)

    def has_rows(self, name: str, condition: str, shard: int) -> bool:
        """Whether these rows are finished."""
        return self.exists("rows", name, f"{condition}-{shard:05d}.parquet")

    def finished(self, name: str = "outcomes") -> set[tuple[str, int]]:
        """All (condition, shard) whose rows are finished, by one listing."""
        found = (re.fullmatch(r"(.+)-(\d{5,})\.parquet", n) for n in self.names("rows", name))
        return {(m[1], int(m[2])) for m in found if m}

    def check_marks(self) -> None:
        """Refuse rows of another run, and copies under another name; only the ends of the files are read.

        Raises:
            RunError: a file is damaged, or does not belong here; it is named.
        """
        tables = self.names("rows")
        for name in tables:
            for file in self.names("rows", name, suffix=".parquet"):
                self.check_file("rows", name, file)
                try:
                    with self.fs.open(self.at("rows", name, file), "rb") as opened:
                        why = wrong_mark(pq.read_schema(opened), self.identity, f"{name}/{file}")
                except (pa.ArrowException, OSError, ValueError) as error:
                    why = str(error).partition("\n")[0]
                if why is not None:
                    raise RunError(f"{self}: rows/{name}/{file} is damaged ({why}); delete it and resume the run")

    def rows(self, name: str, columns: list[str] | None = None, *, condition: str | None = None) -> pa.Table:
        """All rows of a table; an empty table of its schema when there are none.

        Args:
            name: of the table.
            columns: those that are wanted; None for all.
            condition: the only one whose files are read; None for all.

        Raises:
            RunError: a file is damaged, named.
        """
        parts = []
        for file in self.names("rows", name, suffix=".parquet"):
            if condition not in (None, file.rpartition("-")[0]):
                continue
            parts.append(parse_rows(self.read("rows", name, file), name, file, str(self), columns, run=self.identity))
        if parts:
            try:
                return pa.concat_tables(parts, promote_options="default")  # a column may be new since the run began
            except pa.ArrowException as error:
                why = str(error).partition("\n")[0]
                raise RunError(f"{self}: files of rows/{name} disagree ({why}); start a new run") from None
        known = schema_of(name) or pa.schema([(column, pa.null()) for column in columns or ()])
        empty = known.empty_table()
        return empty.select(columns) if columns else empty

    def write_examples(self, images: Tensor, ids: list[str], condition: str, shard: int) -> None:
        """Keep the images of some samples."""
        file = TensorFile({"images": images.float()}, ids)
        self.write_tensors(file, "examples", f"{condition}-{shard:05d}.safetensors")

    def write_tensors(self, file: TensorFile, *parts: str) -> None:
        """Keep tensors; on a local disk without a copy of them in memory."""
        self.write(file, *parts)

    def read_tensors(self, *parts: str) -> TensorFile:
        """Tensors that were kept.

        Raises:
            RunError: the file is absent or damaged.
        """
        where = f"{self}: {'/'.join(parts)}"
        if self.local and self.exists(*parts):
            self.check_file(*parts)
            return TensorFile.map(self.at(*parts), where)
        return TensorFile.of(self.read(*parts), where)

    def examples(self, condition: str) -> Mapping[str, Tensor]:
        """Kept images of a condition by sample id, each `[C, H, W]`, in the order of the data.

        Where a local run kept images above `LARGE_EXAMPLE` bytes, one is mapped from its file whenever it is asked for,
        and what was read of it is given back when the caller drops it: it takes no more memory than is used of it.
        """
        files = [f for f in self.names("examples", suffix=".safetensors") if f.rpartition("-")[0] == condition]
        found = {file: self.read_examples(file) for file in files}
        images = {i: image for own in found.values() for i, image in own.items()}
        if self.local and any(image.nbytes > LARGE_EXAMPLE for image in images.values()):
            return _MappedExamples(self, {i: file for file, own in found.items() for i in own})
        return images

    def example_ids(self, shard: int, conditions: Iterable[str]) -> set[str]:
        """The samples of a shard whose images are kept under any of these conditions."""
        files = [f"{condition}-{shard:05d}.safetensors" for condition in conditions]
        return {i for f in files if self.exists("examples", f) for i in self.read_examples(f)}

    def read_examples(self, file: str) -> dict[str, Tensor]:
        """The kept images of one file by sample id.

        Raises:
            RunError: the file is damaged.
        """
        found = self.read_tensors("examples", file)
        images = found.tensors.get("images")
        if images is None or images.ndim != 4 or len(images) != len(found.ids):
            raise RunError(f"{self}: examples/{file} is damaged (it does not hold images with ids); delete it")
        return dict(zip(found.ids, torch.unbind(images), strict=True))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn an error of writing into a `RunError` that says what to do."""
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise RunError(
                    f"{self}: the disk is full; finished results are saved: free some space, then run again "
                    "with --resume"
                ) from None
            raise RunError(f"{self}: cannot write ({_reason(error, self.path)}); choose another --out") from None
        except UnshakenError:
            raise
        except Exception as error:  # each remote file system raises its own
            if self.local:
                raise
            raise RunError(f"{self}: cannot write ({_reason(error, self.path)}); choose another --out") from None


class _MappedExamples(Mapping[str, Tensor]):
    """Images by id, each mapped from its file when it is asked for."""

    def __init__(self, run: RunDir, files: dict[str, str]) -> None:
        self._run, self._files = run, files

    @override
    def __getitem__(self, id: str) -> Tensor:
        return self._run.read_examples(self._files[id])[id]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    @override
    def __len__(self) -> int:
        return len(self._files)


@contextmanager
def consistent(*runs: RunDir) -> Iterator[None]:
    """Turn what code raises on files that do not fit one another into a `RunError`; its cause is the error met.

    Each file is checked where it is read. That a tensor has the shape, and a row the sample, that another file promises
    is met only where both are used.

    Args:
        runs: whose files are read.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        which, why = " or ".join(map(str, runs)), f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        advice = "run the command again with a new --out; if nothing has changed these files, please report it as a bug"
        raise RunError(f"{which}: its files do not fit one another ({why}); {advice}") from error


@contextmanager
def _temporary_file(path: str, data: bytes | TensorFile) -> Iterator[str]:
    """A temporary file beside a path, whole on the disk; at the end it is gone, if it is still there."""
    temporary = os.path.join(os.path.dirname(path), temporary_name(os.path.basename(path)))
    try:
        with open(temporary, "wb") as file:
            for piece in data.pieces() if isinstance(data, TensorFile) else [data]:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _is_run(folder: str) -> bool:
    """Whether a folder is a run of its own, or somebody writes one there."""
    return any(os.path.exists(os.path.join(folder, name)) for name in ("run.json", "harden.json", "run.lock"))


def _as_json(value: Any) -> bytes:
    value = {"schema": 1, **value} if isinstance(value, dict) else value
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def _reason(error: Exception, address: str) -> str:
    message = bare_message(" ".join(str(error).split()), address)
    return getattr(error, "strerror", None) or message or type(error).__name__
