"""`read_form`: the fields of a form that was sent, checked once; `checked_name`: names that people give."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten

MOST_FIELDS = 50
LONGEST = 4000
"""Characters of one field."""
TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """Fields by name, in the order sent; every value is printable text but for line breaks and tabs."""

    fields: dict[str, list[str]]

    def one(self, name: str, otherwise: str | None = None) -> str:
        """The value of a field that comes once.

        Args:
            name: of the field.
            otherwise: value where the field is absent; None where it must be present.

        Raises:
            HTTPException: 400, it is absent or comes twice.
        """
        values = self.fields.get(name, [] if otherwise is None else [otherwise])
        if len(values) != 1:
            raise HTTPException(400, f"The form has the field {name!r} {len(values)} times; it is needed once.")
        return values[0]

    def all(self, name: str) -> list[str]:
        """The values of a field that may come several times, those left blank omitted."""
        return [v for v in self.fields.get(name, []) if v.strip()]


async def read_form(request: Request) -> Form:
    """Read a form from a request.

    Raises:
        HTTPException: 400, 413 or 415: it is no form, has too many or too long fields, or holds what is no text.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != TYPE:
        raise HTTPException(415, f"The request is no form: its content type must be {TYPE}.")
    try:
        text = (await request.body()).decode("ascii")
        fields = parse_qs(
            text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise HTTPException(400, f"The request is no form of at most {MOST_FIELDS} fields in UTF-8.") from None
    for name, values in fields.items():
        for value in (name, *values):
            if len(value) > LONGEST:
                raise HTTPException(400, f"A field of the form has more than {LONGEST:,} characters.")
            if not all(c.isprintable() or c in "\r\n\t" for c in value):
                raise HTTPException(400, "A field of the form holds a control character; remove it.")
    return Form(fields)


_NAME = re.compile(r"[^\W_](?:[\w .@+-]{0,62}[\w.@+-])?")


def checked_name(name: str, what: str) -> str:
    """The name of a reader, a review or a version.

    Args:
        name: to check.
        what: has the name, for the message.

    Raises:
        ParameterError: it is empty, longer than 64 characters, or has others than letters, digits, spaces and
            `_ . @ + -`.

    >>> checked_name("ann+reviews@example.org", "reader")
    'ann+reviews@example.org'
    """
    if not _NAME.fullmatch(name):
        raise ParameterError(
            f"{shorten(name)} is no name of a {what}: write 1 to 64 letters, digits, spaces and _ . @ + -, and begin "
            "with a letter or a digit"
        )
    return name
