"""`KeptAnswers`: answers of a model behind an address, by the content of the image, in the cache folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from unshaken.core.cache import cache_dir
from unshaken.core.errors import ModelError

_MOST_KEYS = 500


class KeptAnswers:
    """Scores by the SHA-256 of the image that they belong to; a file of SQLite, which several processes may share.

    Args:
        model: digest of what decides the answers.
    """

    def __init__(self, model: str) -> None:
        self.path = cache_dir() / "answers" / f"{model}.sqlite"

    def find(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The answers that are there, float32 as bytes, by key."""
        wanted, found = list(dict.fromkeys(keys)), dict[bytes, bytes]()
        with closing(self._open()) as file:
            for start in range(0, len(wanted), _MOST_KEYS):
                part = wanted[start : start + _MOST_KEYS]
                marks = ",".join("?" * len(part))
                found.update(file.execute(f"SELECT image, scores FROM answers WHERE image IN ({marks})", part))
        return found

    def add(self, answers: Mapping[bytes, bytes]) -> None:
        """Keep answers, whole or not at all, before they are used."""
        with closing(self._open()) as file, file:
            file.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", answers.items())

    def count(self) -> int:
        """Images that were asked so far."""
        with closing(self._open()) as file:
            return int(file.execute("SELECT count(*) FROM answers").fetchone()[0])

    def _open(self) -> sqlite3.Connection:
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            file = sqlite3.connect(self.path, timeout=60)
            file.execute("PRAGMA journal_mode=WAL")
            file.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing by it
            file.execute("CREATE TABLE IF NOT EXISTS answers (image BLOB PRIMARY KEY, scores BLOB NOT NULL)")
        except (OSError, sqlite3.Error) as error:
            raise ModelError(f"answers cannot be kept in {self.path}: {error}; set UNSHAKEN_CACHE") from error
        return file
