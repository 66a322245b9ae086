"""Symbolic links in a data folder: which are followed, and what to write where one is not."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from unshaken.core.errors import DataError
from unshaken.data.spec import Options, existing, with_option

FOLLOW = "follow"
"""Value of the option `links` that follows links inside the data folder."""


@dataclass(frozen=True, slots=True)
class Links:
    """The folders inside which a link may lead.

    A link to a file of the data folder is always followed. A link to a folder, or to anything outside the data folder,
    is followed where the user allowed it: without that, an archive from elsewhere could show any picture of this
    machine in a report.

    Args:
        root: the data folder, absolute and without links.
        allowed: further folders, likewise.
        folders: whether links to folders are followed.
    """

    root: str
    allowed: tuple[str, ...] = ()
    folders: bool = False

    @classmethod
    def of(cls, root: str, options: Options) -> Links:
        """The links that a SPEC allows: none, `links=follow`, or `links=DIR`.

        Raises:
            DataError: the folder is absent.
        """
        if options.links in (None, FOLLOW):
            return cls(root, (), options.links == FOLLOW)
        return cls(root, (str(existing(str(options.links), options.spec, folder=True)),), True)

    def allows(self, target: str) -> bool:
        """Whether a target, absolute and without links, may be read."""
        return any(is_inside(target, folder) for folder in (self.root, *self.allowed))

    def how_to_follow(self, folders: Iterable[str], spec: str) -> str:
        """The option that would allow links into these folders, too.

        Args:
            folders: absolute and without links.
            spec: of the data, whose option is set.
        """
        common = os.path.commonpath([*folders, *self.allowed])
        folder = common if os.path.dirname(common) != common else "DIR"
        return f"to follow links into {folder} write {shlex.quote(with_option(spec, 'links', folder))}"


def is_inside(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it, both absolute and without links.

    >>> is_inside("/data/a.png", "/data"), is_inside("/data-2/a.png", "/data")
    (True, False)
    """
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def check_no_loop(target: str, above: Iterable[str], name: str, spec: str) -> None:
    """Refuse a link to a folder that it stands in.

    Raises:
        DataError: it is one.
    """
    if target in above:
        raise DataError(
            f"data {spec!r}: the folder {name!r} is a symbolic link to a folder that it stands in; remove it"
        )
