"""Readers of a store and their tokens; of a token only its hash is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Self

import sqlalchemy as sa

from unshaken.core.errors import ParameterError
from unshaken.serve.database import Database
from unshaken.serve.forms import checked_name
from unshaken.serve.review import _schema as t
from unshaken.serve.review._log import now
from unshaken.serve.review._rows import find_reader, reader_number

TOKEN_BYTES = 32


class Readers:
    """The part of a store that knows its readers.

    Args:
        database: of the store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def readers(self) -> list[str]:
        """Names of all readers."""
        with self._database.reading() as connection:
            return list(connection.execute(sa.select(t.reader.c.name).order_by(t.reader.c.id)).scalars())

    def add_reader(self, name: str) -> str:
        """Add a reader.

        Args:
            name: 1 to 64 letters, digits, spaces and `_ . @ + -`.

        Returns:
            The reader's token. It is not kept, and cannot be shown again.

        Raises:
            ParameterError: there is one of this name, or it is no name.
        """
        token = new_token()
        with self._database.writing() as connection:
            if reader_number(connection, name) is not None:
                raise ParameterError(f"there is a reader {name!r} already: choose another name, or renew the token")
            _insert(connection, name, token)
        return token

    def give_token(self, name: str) -> str | None:
        """Give a token to a reader who has none; a reader of this name is added where there is none.

        Args:
            name: as for `add_reader`.

        Returns:
            The token, as of `add_reader`; None where the reader has one already.

        Raises:
            ParameterError: it is no name.
        """
        token = new_token()
        with self._database.writing() as connection:
            found = connection.execute(
                sa.select(t.reader).where(t.reader.c.name == checked_name(name, "reader"))
            ).first()
            if found is None:
                _insert(connection, name, token)
            elif found.token_hash is None:
                change = t.reader.update().where(t.reader.c.id == found.id).values(token_hash=token_hash(token))
                connection.execute(change)
            else:
                return None
        return token

    def ensure_reader(self, name: str) -> None:
        """Add a reader without a token where there is none of this name: for a server that asks for no token.

        Args:
            name: as for `add_reader`.

        Raises:
            ParameterError: it is no name.
        """
        with self._database.reading() as connection:
            if reader_number(connection, name) is not None:
                return
        with self._database.writing() as connection:
            if reader_number(connection, name) is None:
                _insert(connection, name, None)

    def renew_token(self, name: str) -> str:
        """Give a reader a new token; the one before is void.

        Args:
            name: of the reader.

        Returns:
            The token.

        Raises:
            ParameterError: there is no such reader.
        """
        token = new_token()
        with self._database.writing() as connection:
            number, _ = find_reader(connection, name)
            change = t.reader.update().where(t.reader.c.id == number).values(token_hash=token_hash(token))
            connection.execute(change)
        return token

    def reader_of(self, token: str) -> str | None:
        """Name of the reader whose token this is, or None.

        Args:
            token: from outside.
        """
        hashed = token_hash(token)
        with self._database.reading() as connection:
            row = connection.execute(sa.select(t.reader).where(t.reader.c.token_hash == hashed)).one_or_none()
        return row.name if row is not None and hmac.compare_digest(row.token_hash, hashed) else None


def new_token() -> str:
    """A token of 256 random bits, as text for a URL."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> str:
    """The hash that is kept: one round of SHA-256 is enough, for the token is random and not a password."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _insert(connection: sa.Connection, name: str, token: str | None) -> None:
    hashed = None if token is None else token_hash(token)
    connection.execute(t.reader.insert().values(name=checked_name(name, "reader"), token_hash=hashed, created=now()))
