"""Ids of a run's samples: a list in `run.json`, or, of more than a million, blocks of files beside it.

A block is `ids/DIGEST.parquet`, named after the digest of its ids, so that two runs never write different ids under one
name, and what was changed is found when it is read. `run.json` then has the number of ids and the names of the blocks.
"""

from __future__ import annotations

import hashlib
import io
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError, model_validator
from typing_extensions import override

from unshaken.core.documents import first_problem
from unshaken.core.errors import DataError, RunError
from unshaken.core.ids import Ids
from unshaken.store.run_dir import RunDir

MANY = 1_000_000
"""Ids from which on they stand in files, and ids in a block."""
FOLDER = "ids"


class IdRecord(BaseModel):
    """The ids of a large run, as `run.json` has them.

    Args:
        count: number of ids.
        block_size: ids in each block but the last.
        blocks: digest of each block, 32 hexadecimal digits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(ge=1, le=10**12)
    block_size: int = Field(ge=1, le=10**8)
    blocks: list[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]]

    @model_validator(mode="after")
    def _whole(self) -> IdRecord:
        if len(self.blocks) != -(-self.count // self.block_size):
            raise ValueError(f"{len(self.blocks)} blocks of {self.block_size} do not hold {self.count} ids")
        return self


class ManyIds(Sequence[str]):
    """A sequence of ids whose blocks are held or read in Arrow's form; `GivenIds` and `StoredIds` say from where.

    Args:
        total: number of ids.
        block_size: ids in each block but the last.
    """

    def __init__(self, total: int, block_size: int) -> None:
        self.total, self.block_size = total, block_size

    @property
    @abstractmethod
    def record(self) -> IdRecord:
        """The record in `run.json`."""

    @abstractmethod
    def block(self, number: int) -> pa.Array:
        """The ids of one block, `large_string`."""

    @override
    def __len__(self) -> int:
        return self.total

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    @override
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            places = range(self.total)[place]
            return self._run_of(places.start, places.stop) if places.step == 1 else [self[i] for i in places]
        number, rest = divmod(range(self.total)[place], self.block_size)
        return str(self.block(number)[rest])

    def _run_of(self, start: int, stop: int) -> list[str]:
        found = list[str]()
        while start < stop:
            number, rest = divmod(start, self.block_size)
            part = self.block(number).slice(rest, stop - start).to_pylist()
            found, start = found + part, start + len(part)
        return found

    @override
    def __iter__(self) -> Iterator[str]:
        for number in range(-(-self.total // self.block_size)):
            yield from self.block(number).to_pylist()

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, ManyIds) and self.record == other.record

    __hash__ = None  # type: ignore[assignment]

    @override
    def __repr__(self) -> str:
        return f"<{self.total:,} ids>"

    @override
    def __reduce__(self) -> tuple[type[StoredIds], tuple[IdRecord]]:
        """To other processes only the record goes: each knows the ids from its own data."""
        return StoredIds, (self.record,)


class GivenIds(ManyIds):
    """Ids of a data set, not copied.

    Args:
        values: the ids.
    """

    def __init__(self, values: Sequence[str]) -> None:
        super().__init__(len(values), MANY)
        self.values = Ids.of(values)

    @cached_property
    @override
    def record(self) -> IdRecord:
        numbers = range(-(-self.total // self.block_size))
        return IdRecord(
            count=self.total, block_size=self.block_size, blocks=[digest_of(self.block(n)) for n in numbers]
        )

    @override
    def block(self, number: int) -> pa.Array:
        part = self.values[number * self.block_size : (number + 1) * self.block_size]
        buffers = (np.ascontiguousarray(part.ends - part.ends[0]), part.text[part.ends[0] : part.ends[-1]])
        block = pa.LargeStringArray.from_buffers(len(part), *map(pa.py_buffer, buffers))
        try:
            block.validate(full=True)
        except pa.ArrowInvalid:
            name = next(i for i in part if any("\ud800" <= letter <= "\udfff" for letter in i))
            raise DataError(f"id {name!r} holds bytes that are no UTF-8: rename the file") from None
        return block

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self.values)


class StoredIds(ManyIds):
    """Ids in the files of a run; the last block that was read is held.

    Args:
        record: as `run.json` has it.
        run: the directory; None until `read_config` says it.
    """

    def __init__(self, record: IdRecord, run: RunDir | None = None) -> None:
        super().__init__(record.count, record.block_size)
        self._record, self.run = record, run
        self._held: tuple[int, pa.Array] = (-1, None)

    @property
    @override
    def record(self) -> IdRecord:
        return self._record

    @override
    def block(self, number: int) -> pa.Array:
        held, ids = self._held
        if held != number:
            ids = self._read(number)
            self._held = number, ids
        return ids

    def _read(self, number: int) -> pa.Array:
        if self.run is None:
            raise RunError("the ids of this run stand in its directory: open it by read_config")
        name = self.record.blocks[number]
        data = self.run.read(FOLDER, f"{name}.parquet")
        try:
            file, wanted = pq.ParquetFile(io.BytesIO(data)), min(self.block_size, self.total - number * self.block_size)
            if file.metadata.num_rows != wanted:  # before memory is taken for them
                raise ValueError(f"it has {file.metadata.num_rows:,} ids, not {wanted:,}")
            table = file.read(columns=["id"], use_threads=False)
            table.validate(full=True)
            ids = table["id"].cast(pa.large_string()).combine_chunks()
            why = "" if digest_of(ids) == name else "its ids are not those of run.json"
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            why = str(error).partition("\n")[0]
        if why:
            raise RunError(f"{self.run}: {FOLDER}/{name}.parquet is damaged ({why}); start a new run")
        return ids


def digest_of(ids: pa.Array) -> str:
    """32 hexadecimal digits of a block: of its length, the lengths of its ids in bytes, and their bytes.

    Args:
        ids: `large_string` `[N]` without nulls, N at least 1.

    Raises:
        ValueError: there is a null.
    """
    if ids.null_count:
        raise ValueError("an id is null")
    lengths, data = columns_of(ids)
    state = hashlib.blake2b(len(ids).to_bytes(8, "little"), digest_size=16)
    state.update(lengths.astype("<i8").tobytes())
    state.update(data)
    return state.hexdigest()


def pack_ids(ids: Sequence[str]) -> Sequence[str]:
    """The ids in the form that a new run keeps them in: a list, or `GivenIds` where there are more than `MANY`."""
    return GivenIds(ids) if len(ids) > MANY else list(ids)


def as_column(ids: Sequence[str]) -> Ids:
    """The ids of a run as one column; those in files are read block by block, and never are strings.

    Args:
        ids: as `RunConfig` has them.

    Raises:
        RunError: a file of ids is absent or damaged.
    """
    if isinstance(ids, GivenIds):
        return ids.values
    if not isinstance(ids, ManyIds):
        return Ids.of(ids)
    return Ids.joined(columns_of(ids.block(number)) for number in range(len(ids.record.blocks)))


def as_strings(ids: Ids) -> pa.Array:
    """Some ids as an array of type `string`; their text is not copied.

    Args:
        ids: of less than 2 GiB together.
    """
    ends = (ids.ends - ids.ends[0]).astype(np.int32)
    text = ids.text[ids.ends[0] : ids.ends[-1]]
    return pa.StringArray.from_buffers(len(ids), pa.py_buffer(ends), pa.py_buffer(text))


def columns_of(ids: pa.Array) -> tuple[NDArray[np.int64], bytes]:
    """The lengths in bytes of ids, and their bytes, one after the other.

    Args:
        ids: `large_string` `[N]` without nulls, N at least 1.
    """
    _, offsets, data = ids.buffers()
    ends = np.frombuffer(offsets, np.int64, len(ids) + 1, 8 * ids.offset)  # an id is data[ends[i]:ends[i + 1]]
    return np.diff(ends), bytes(memoryview(data)[ends[0] : ends[-1]]) if data is not None else b""


def write_ids(run: RunDir, ids: Sequence[str]) -> None:
    """Write the blocks of ids that are too many for `run.json`; to be done before it is written.

    Raises:
        RunError: nothing can be written there.
    """
    if not isinstance(ids, ManyIds):
        return
    for number, name in enumerate(ids.record.blocks):
        if not run.exists(FOLDER, f"{name}.parquet"):
            buffer = io.BytesIO()
            pq.write_table(
                pa.table({"id": ids.block(number)}),
                buffer,
                compression="zstd",
                use_dictionary=False,  # no id stands twice, but many begin alike
                column_encoding="DELTA_BYTE_ARRAY",
                write_statistics=False,
            )
            run.write(buffer.getvalue(), FOLDER, f"{name}.parquet")


def _read_ids(value: Any) -> Sequence[str]:
    if isinstance(value, ManyIds):
        return value
    if isinstance(value, dict):
        try:
            return StoredIds(IdRecord.model_validate(value))
        except ValidationError as error:
            raise ValueError(first_problem(error)) from None
    if not isinstance(value, list | tuple) or not all(isinstance(i, str) for i in value):
        raise ValueError("it must be a list of texts")
    return list(value)


def _as_json(ids: Sequence[str]) -> Any:
    return ids.record.model_dump() if isinstance(ids, ManyIds) else list(ids)


SampleIds = Annotated[Sequence[str], PlainValidator(_read_ids), PlainSerializer(_as_json)]
"""The type of the field `ids` of `RunConfig`."""
