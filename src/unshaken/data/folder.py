"""`folder:DIR`: a folder for each class, or loose images without labels."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.data.dataset import Dataset
from unshaken.data.labels import read_class_lines
from unshaken.data.links import FOLLOW, Links, check_no_loop
from unshaken.data.magic import UNREADABLE, format_of_file, why_unreadable
from unshaken.data.spec import Options, check_split, existing, reason_of, with_option

EXTENSIONS = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm"),
    *(".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
ROWS = "rows"
_SPLITS = {"train", "test", "val", "valid", "validation"}


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file of a folder.

    Args:
        id: its path relative to the folder, with `/` between its parts.
        path: where its bytes are.
        mark: size and time of change.
        bad: why it cannot be used, or None.
    """

    id: str
    path: str
    mark: tuple[int, int]
    bad: str | None


class FolderDataset(Dataset):
    """Image files below a folder; an id is the path relative to it, with `/` between its parts.

    Args:
        root: the folder.
        files: in it.
        folders: those that are classes, in label order; empty where images are loose.
        names: of the classes, where they are not called as their folders.
        options: of the SPEC.
    """

    def __init__(
        self, root: Path, files: list[ImageFile], folders: Sequence[str], names: Mapping[str, str], options: Options
    ) -> None:
        place = {name: i for i, name in enumerate(folders)}
        super().__init__(
            ids=[f.id for f in files],
            labels=np.array([place[f.id.partition("/")[0]] for f in files], np.int64) if folders else None,
            classes=[names.get(name, name) for name in folders],
            root=str(root),
            options=options,
            bad={i: f.bad for i, f in enumerate(files) if f.bad},
        )
        self._files = files

    @override
    def fetch(self, index: int) -> Path:
        return Path(self._files[index].path)

    @override
    def content(self) -> Iterable[object]:
        return ((f.id, f.mark) for f in self._files)


def open_folder(target: str, options: Options) -> FolderDataset:
    """List a folder of images.

    `split` names a folder inside it, `links` which symbolic links are followed, `classes` a file that orders or renames
    the classes.

    Files without an image's extension and hidden ones are no entries, but for images without any extension. An image of
    a format that is not read is an entry, bad with its reason. A class folder without images still is a class, so that
    the others keep their labels; a folder `rows` without images holds the tables of generated images.

    Raises:
        DataError: there are no images; loose images stand beside class folders; the folders look like splits; a
            folder is a symbolic link that is not to be followed; a folder cannot be read.
    """
    root = existing(target, options.spec, folder=True)
    check_split(options, target)
    if options.split is not None:
        root = existing(str(root / options.split), options.spec, folder=True)
    files = list_images(root, options)
    if not files:
        raise DataError(f"data {options.spec!r}: no images in {target!r}; looked for {' '.join(EXTENSIONS)}")
    loose = [f.id for f in files if "/" not in f.id]
    if loose and len(loose) < len(files):
        nested = next(f.id for f in files if "/" in f.id)
        raise DataError(
            f"data {options.spec!r}: {len(loose)} loose images such as {loose[0]!r} stand beside folders such as "
            f"{nested.partition('/')[0]!r}; put every image into a class folder, or all of them loose"
        )
    filled = {f.id.partition("/")[0] for f in files}
    folders = [e.name for e in _entries(str(root), options.spec) if e.is_dir()]
    classes = [] if loose else sorted(name for name in folders if name != ROWS or name in filled)
    classes = [_text(name) for name in classes]
    if classes and _SPLITS.issuperset(c.lower() for c in classes) and any(f.id.count("/") > 1 for f in files):
        raise DataError(
            f"data {options.spec!r}: its folders {classes} look like splits; choose one: ?split={classes[0]}"
        )
    names: dict[str, str] = {}
    if options.classes and classes:
        classes, names = _classes(classes, Path(options.classes), options.spec)
    return FolderDataset(root, files, classes, names, options)


def list_images(root: Path, options: Options) -> list[ImageFile]:
    """The image files of a folder and of all below it, in the order of their ids.

    Args:
        root: the folder, without symbolic links.
        options: `links` says which symbolic links are followed.

    Raises:
        DataError: a folder is a symbolic link that is not to be followed, or cannot be read.
    """
    lister = _Lister(Links.of(str(root), options), options.spec)
    files = sorted(lister.list_files(str(root), "", (str(root),)), key=lambda f: f.id)
    return lister.with_reasons(files)


def _classes(folders: Sequence[str], path: Path, spec: str) -> tuple[list[str], dict[str, str]]:
    """Folders in label order, and the names of those that the file calls otherwise.

    Raises:
        DataError: the file cannot be read, or does not speak of these folders.
    """
    lines = [line.partition("\t") for line in read_class_lines(path, spec)]
    if any(tab for _, tab, _ in lines):
        names = {folder.strip(): name.strip() for folder, tab, name in lines if tab}
        unknown, order = [name for name in folders if name not in names], list(folders)
    else:
        names, order = {}, [name.strip() for name, _, _ in lines]
        unknown = [name for name in folders if name not in order]
    if unknown or len(set(order)) < len(order):
        raise DataError(
            f"data {spec!r}: class names in {str(path)!r} do not fit its folders "
            f"({', '.join(map(repr, unknown[:5])) or 'a name occurs twice'}); write a line for each folder in the "
            "order of the labels, or lines of folder, tab, class"
        )
    return order, names


class _Lister:
    """Lists the image files below a folder.

    Args:
        links: which are followed.
        spec: of the data, for messages.
    """

    def __init__(self, links: Links, spec: str) -> None:
        self.links, self.spec = links, spec
        self.outside: dict[str, str] = {}  # id of each link that leaves the allowed folders, to its target

    def list_files(self, folder: str, prefix: str, above: tuple[str, ...]) -> Iterator[ImageFile]:
        """The entries of a folder and of all below it.

        Args:
            folder: its path.
            prefix: of the ids.
            above: the folder and all that it stands in, without links.
        """
        for entry in _entries(folder, self.spec):
            id = prefix + _text(entry.name)
            if entry.is_dir():
                path = self._folder(entry, id) if entry.is_symlink() else entry.path
                if path != entry.path:
                    check_no_loop(path, above, id, self.spec)
                yield from self.list_files(path, id + "/", (*above, path))
            elif (form := self._format(entry)) is not None:
                yield self._file(entry, id, why_unreadable(form))

    def with_reasons(self, files: list[ImageFile]) -> list[ImageFile]:
        """The same, where links that are not followed say how to allow all of them."""
        if not self.outside:
            return files
        how = self.links.how_to_follow([os.path.dirname(t) for t in self.outside.values()], self.spec)
        reason = f"its symbolic link leaves the data folder; {how}"
        return [replace(f, bad=reason) if f.id in self.outside else f for f in files]

    def _folder(self, entry: os.DirEntry[str], id: str) -> str:
        """The target of a link to a folder.

        Raises:
            DataError: it is not to be followed.
        """
        target = os.path.realpath(entry.path)
        if not self.links.allows(target):
            how = self.links.how_to_follow([target], self.spec)
            raise DataError(f"data {self.spec!r}: the folder {id!r} is a symbolic link out of the data folder; {how}")
        if not self.links.folders:
            how = f"to follow it write {shlex.quote(with_option(self.spec, 'links', FOLLOW))}"
            raise DataError(f"data {self.spec!r}: the folder {id!r} is a symbolic link; {how}")
        return target

    def _format(self, entry: os.DirEntry[str]) -> str | None:
        """The format of an image file, by its name or, without an extension, its first bytes; None for other files."""
        extension = os.path.splitext(entry.name)[1].lower()
        if extension in EXTENSIONS:
            return extension
        if extension:
            return UNREADABLE.get(extension)
        if entry.is_symlink() and not self.links.allows(os.path.realpath(entry.path)):
            return "link"  # its target must not be opened, so it may be an image
        return format_of_file(entry.path) if entry.is_file() else None

    def _file(self, entry: os.DirEntry[str], id: str, bad: str | None) -> ImageFile:
        path = entry.path
        try:
            if entry.is_symlink():
                path = os.path.realpath(entry.path)
                if not os.path.exists(path):
                    bad = "its symbolic link leads to a file that does not exist: fetch it first, as with `dvc pull`"
                    return ImageFile(id, entry.path, (0, 0), bad)
                if not self.links.allows(path):
                    self.outside[id] = path
                    return ImageFile(id, entry.path, (0, 0), "its symbolic link leaves the data folder")
            found = os.stat(path) if path != entry.path else entry.stat(follow_symlinks=False)
        except OSError as error:
            return ImageFile(id, entry.path, (0, 0), f"the file cannot be read: {reason_of(error)}")
        return ImageFile(id, path, (found.st_size, found.st_mtime_ns), bad)


def _entries(folder: str, spec: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [e for e in entries if not e.name.startswith(".")]
    except OSError as error:
        raise DataError(f"data {spec!r}: folder {folder!r} cannot be read: {reason_of(error)}") from error


def _text(name: str) -> str:
    """A file name as clean text: a byte that is no UTF-8 becomes its escape."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
