"""`check_parquet`: a stranger's parquet file is read through by another process before this one reads it.

What no check of this package can prevent, another process bears: pyarrow aborts on some damaged indexes, and a page
may claim little and unpack to gigabytes (one value of 100 MB in a dictionary that a thousand rows name).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from unshaken.core.errors import DataError
from unshaken.data import _read_through
from unshaken.data.spec import SMALL

PATIENCE = 60
"""Seconds to wait for the other process, which computes far less but may wait for a disk."""


def check_parquet(path: Path, columns: Sequence[str], where: str) -> None:
    """Refuse a file that would abort this process, or take far more memory or time than its size lets expect.

    The other process takes about 0.2 s, once for each state of a file. Of files of more than `SMALL` bytes it reads
    the index alone. What is merely damaged passes: the reader of the file reports it.

    Args:
        path: of a regular file.
        columns: those whose values will be read, where there are such.
        where: the SPEC, for messages.

    Raises:
        DataError: the file is unsafe to read.
    """
    state = path.stat()
    mark = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    if (why := _harm(path, mark, state.st_size, () if state.st_size > SMALL else tuple(columns))) is not None:
        raise DataError(f"data {where!r}: {path.name} is damaged or made to do harm ({why}); get it again")


@lru_cache(maxsize=1024)
def _harm(path: Path, _: tuple[int, ...], size: int, columns: tuple[str, ...]) -> str | None:
    """The harm that reading a file does to a process; None where it does none."""
    megabytes, seconds = (SMALL + 3 * size) >> 20, 1 + (size >> 25)
    found = [p for p in sys.path if os.path.isabs(p)]  # pyarrow is found there where this process has found it
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(found), "ARROW_DEFAULT_MEMORY_POOL": "system"}
    command = [sys.executable, "-P", _read_through.__file__, str(path), str(megabytes), str(seconds), *columns]
    try:
        ended = subprocess.run(
            command, env=environment, timeout=PATIENCE, capture_output=True, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        return f"reading it takes more than {PATIENCE} s"
    if ended.returncode == _read_through.TOO_LARGE:
        return f"reading it takes more than {megabytes} MB"
    if ended.returncode < 0:
        name = signal.Signals(-ended.returncode).name
        return f"reading it takes too long, or ends the process: {name} after at most {seconds} s of computing"
    if ended.returncode:
        return f"reading it fails: {' '.join(ended.stderr.decode('utf-8', 'replace').split())[-200:]}"
    return None
