"""A program of its own that reads a parquet file through: `python _read_through.py FILE MEGABYTES SECONDS COLUMN...`.

It imports nothing of this package, so that it begins soon. It ends with exit code 0 where the file does a process that
reads it no harm, be it whole or damaged; with `TOO_LARGE` where it takes more memory than `MEGABYTES`; and by a signal
where it takes more than `SECONDS` of computing, or where pyarrow aborts. Without columns only the index is read.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TOO_LARGE = 3
"""Exit code of a file that takes too much memory."""


AT_ONCE = 8 << 20
"""Bytes of images that are read at once, by what the index says of them."""


def rows_at_once(rows: int, size: int, most: int = AT_ONCE) -> int:
    """Rows of a row group that are read at once: 256, or fewer of large images.

    Args:
        rows: of the row group.
        size: bytes of its images, unpacked.
        most: bytes that are wanted at once.
    """
    return max(1, min(256, most * rows // max(size, 1)))


def bytes_of_images(group: Any) -> int:
    """Bytes of the column `image` of a row group, unpacked, as the index says."""
    columns = [group.column(c) for c in range(group.num_columns)]
    return sum(c.total_uncompressed_size for c in columns if c.path_in_schema.partition(".")[0] == "image")


def read_through(path: str, columns: Sequence[str]) -> None:
    """Read the index of a file, its images a few at a time, and other columns whole, as `unshaken.data.parquet` does.

    Args:
        path: the file.
        columns: those whose values are read, where the file has them.

    Raises:
        MemoryError: there is not enough.
    """
    with _errors_but_of_memory():
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)  # starts no threads, which take memory too
        groups = [file.metadata.row_group(g) for g in range(file.metadata.num_row_groups)]
        sizes = [bytes_of_images(g) for g in groups]  # aborts where the statistics contradict the schema
        present = [name for name in file.schema_arrow.names if name in columns]
        for number, (group, size) in enumerate(zip(groups, sizes, strict=True)):
            rows = rows_at_once(group.num_rows, size)
            with _errors_but_of_memory():
                for batch in file.iter_batches(
                    rows, row_groups=[number], columns=[n for n in present if n == "image"], use_threads=False
                ):
                    batch.validate(full=True)
        file.read(columns=[n for n in present if n != "image"], use_threads=False).validate(full=True)


@contextlib.contextmanager
def _errors_but_of_memory() -> Iterator[None]:
    """Pass errors on: whatever fails here fails for the reader of the file as well."""
    try:
        yield
    except MemoryError:
        raise
    except (OSError, pa.ArrowException, ValueError, LookupError):
        pass


def limit(megabytes: int, seconds: int) -> None:
    """Bound what this process may take from now on, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        cpu, memory = int(time.process_time()) + seconds, used + (megabytes << 20)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


if __name__ == "__main__":
    limit(int(sys.argv[2]), int(sys.argv[3]))
    try:
        read_through(sys.argv[1], sys.argv[4:])
    except MemoryError:
        sys.exit(TOO_LARGE)
