"""Digits of the content of a file or a folder, whatever its name and wherever it lies."""

from __future__ import annotations

from pathlib import Path

from unshaken.data.dataset import digest, file_mark


def content_mark(path: Path) -> str:
    """Digits that change with the content of a file, or with any file below a folder: its name there or its content.

    Args:
        path: a file or a folder that exists.
    """
    if not path.is_dir():
        return str(file_mark(path)[-1])
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest(*((file.relative_to(path).as_posix(), *file_mark(file)[1:]) for file in files))
