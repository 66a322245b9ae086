"""`parse_against`: sets of abnormal images as they are named on the command line."""

from __future__ import annotations

from unshaken.core.errors import ParameterError


def parse_against(text: str) -> tuple[str, str, str]:
    """Group, name and data SPEC of `GROUP=SPEC` or `GROUP/NAME=SPEC`; a SPEC alone is of the group `far`.

    >>> parse_against("near/held-out=folder:photos?size=32")
    ('near', 'held-out', 'folder:photos?size=32')
    >>> parse_against("mnist")
    ('far', 'mnist', 'mnist')

    Raises:
        ParameterError: a part is empty or has letters that no folder's name may have.
    """
    head, equals, spec = text.partition("=")
    if not equals or any(c in head for c in ":?"):
        head, spec = "far", text
    group, _, name = head.partition("/")
    plain = "".join(c if c.isalnum() else " " for c in spec.partition("?")[0])
    name = name or "-".join(plain.split())
    if (
        not group
        or not spec
        or group[0] == "."
        or name[:1] == "."
        or not all(c.isalnum() or c in "._-" for c in group + name)
    ):
        raise ParameterError(
            f"--against {text!r} is not of the form GROUP=SPEC, such as far=mnist or near/dogs=folder:D"
        )
    return group, name, spec
