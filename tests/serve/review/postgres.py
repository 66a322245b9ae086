"""A PostgreSQL server in a folder of its own, of whatever version Debian has installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

QUICK = "-c fsync=off -c full_page_writes=off -c shared_buffers=16MB"


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, or None."""
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).resolve().parent if found else places[-1].parent if places else None


@contextmanager
def server(settings: str = QUICK) -> Iterator[str]:
    """A server that listens on a socket alone; gives the start of its address, to which a database's name is added.

    Args:
        settings: options of `postgres`.
    """
    place = programs()
    assert place is not None
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: the address of a socket has 107 characters at most
    other = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    if other:
        shutil.chown(folder, "nobody")

    def call(*command: str) -> None:
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, **other)

    data = str(folder / "data")
    try:
        call(
            str(place / "initdb"), "--no-sync", "-A", "trust", "-U", "unshaken", "-E", "UTF8", "--locale=C", "-D", data
        )
        call(
            str(place / "pg_ctl"),
            "-D",
            data,
            "-o",
            f"-k {folder} -h '' {settings}",
            "-l",
            f"{folder}/log",
            "-w",
            "start",
        )
        try:
            yield f"postgresql+psycopg://unshaken@/{{}}?host={folder}"
        finally:
            call(str(place / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
