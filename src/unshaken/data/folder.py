"""`folder:DIR`: a folder for each class, or loose images without labels."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.data.dataset import Dataset
from unshaken.data.decode import Source
from unshaken.data.labels import read_class_lines
from unshaken.data.sample_metadata import ENDINGS, read_metadata
from unshaken.data.spec import Options, check_split, existing, reason_of, with_option

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


HEAD = 32
"""Bytes that `image_format` wants."""

UNREADABLE = {
    ".arw": "ARW", ".cr2": "CR2", ".cr3": "CR3", ".dng": "DNG", ".exr": "OpenEXR", ".hdr": "HDR", ".heic": "HEIC",
    ".heif": "HEIF", ".j2k": "JPEG 2000", ".jp2": "JPEG 2000", ".jxl": "JPEG XL", ".nef": "NEF", ".orf": "ORF",
    ".psd": "PSD", ".rw2": "RW2", ".svg": "SVG", ".tga": "TGA",
}  # fmt: skip
"""Extensions of image files that are not read, and the names of their formats."""

_STARTS = {
    "AVIF": rb".{4}ftypavi[fs]",
    "BMP": rb"BM.{4}\0{4}",
    "GIF": rb"GIF8[79]a",
    "HEIC": rb".{4}ftyp(?:hei|hev|mif|msf)",
    "JPEG": rb"\xff\xd8\xff",
    "JPEG 2000": rb"\0{3}\x0cjP  ",
    "JPEG XL": rb"\xff\x0a|\0{3}\x0cJXL ",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "PNM": rb"P[1-6]\s+[#0-9]",
    "TIFF": rb"II\*\0|MM\0\*",
    "WebP": rb"RIFF.{4}WEBP",
    "a Git LFS pointer": rb"version https://git-lfs",
}
_FORMATS = {name: re.compile(start, re.DOTALL) for name, start in _STARTS.items()}


def image_format(head: bytes) -> str | None:
    """The format of an image file; None for a file that is no image.

    Args:
        head: its first `HEAD` bytes or more.

    >>> image_format(bytes.fromhex("ffd8ffe0"))
    'JPEG'
    >>> image_format(b"Copyright 2024")
    """
    return next((name for name, start in _FORMATS.items() if start.match(head)), None)


def format_of_file(path: str | Path) -> str | None:
    """Find the image format of a file; None where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return image_format(file.read(HEAD))
    except OSError:
        return None


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
            ids=(f.id for f in files),
            labels=np.array([place[f.id.partition("/")[0]] for f in files], np.int64) if folders else None,
            classes=[names.get(name, name) for name in folders],
            root=str(root),
            options=options,
            bad={i: f.bad for i, f in enumerate(files) if f.bad},
        )
        self._files = files

    @override
    def fetch(self, index: int) -> Source:
        return Path(self._files[index].path)

    @override
    def columns(self) -> dict[str, list[Any]]:
        """Those of `metadata.csv`, `.jsonl` or `.parquet` in the folder, whose column `file_name` has the ids."""
        found = [path for ending in ENDINGS if (path := Path(self.root, f"metadata{ending}")).is_file()]
        if len(found) > 1:
            raise DataError(f"data {self.options.spec!r}: {found[0].name} and {found[1].name}: keep one of them")
        return read_metadata(found[0], self.ids, key="file_name") if found else super().columns()

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
    if len(classes) == 1 and not options.classes and (inner := _folder_of_classes(files)):
        named = f"folder:{os.path.join(target, options.split or '', inner)}"
        parts = {f.id.removeprefix(f"{inner}/").partition("/")[0] for f in files}
        if _SPLITS.issuperset(part.lower() for part in parts):
            named += f"?split={min(parts)}"
        raise DataError(
            f"data {options.spec!r}: all its images lie in folders of {inner!r}, so that {classes[0]!r} would be the "
            f"only class; give the folder that holds the folders of the classes, {shlex.quote(named)}, or say by "
            "?classes=FILE that this is the class"
        )
    names: dict[str, str] = {}
    if options.classes and classes:
        classes, names = _classes(classes, Path(options.classes), options.spec)
    return FolderDataset(root, files, classes, names, options)


def _folder_of_classes(files: Sequence[ImageFile]) -> str:
    """The folder below which all images lie in two folders or more; empty where an image lies in it, or one folder."""
    inner = os.path.commonpath([os.path.dirname(f.id) for f in files])
    below = {os.path.dirname(f.id) for f in files}
    return "" if not inner or inner in below else inner


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
    if not lister.outside:
        return files
    how = lister.links.how_to_follow([os.path.dirname(t) for t in lister.outside.values()], options.spec)
    reason = f"its symbolic link leaves the data folder; {how}"
    return [replace(f, bad=reason) if f.id in lister.outside else f for f in files]


def _classes(folders: Sequence[str], path: Path, spec: str) -> tuple[list[str], dict[str, str]]:
    """Folders in label order, and the names of those that the file calls otherwise."""
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
        """The entries of a folder and of all below it."""
        for entry in _entries(folder, self.spec):
            id = prefix + _text(entry.name)
            if entry.is_dir():
                path = self._folder(entry, id) if entry.is_symlink() else entry.path
                if path != entry.path and path in above:
                    raise DataError(
                        f"data {self.spec!r}: the folder {id!r} is a symbolic link to a folder that it stands in; "
                        "remove it"
                    )
                yield from self.list_files(path, id + "/", (*above, path))
            elif (form := self._format(entry)) is not None:
                bad = f"{form} images are not read: convert it to PNG or JPEG" if form in UNREADABLE.values() else None
                yield self._file(entry, id, bad)

    def _folder(self, entry: os.DirEntry[str], id: str) -> str:
        """The target of a link to a folder."""
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
