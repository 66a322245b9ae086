"""A data SPEC taken apart: `kind:target?option=value&option=value`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unshaken.core.errors import DataError, did_you_mean, near_path
from unshaken.core.numbers import MAX_SIDE as MAX_SIDE

Mode = Literal["RGB", "L"]
SMALL = 256 << 20
"""Bytes that may be read into memory without a look at the file's size."""
FORMS = {".parquet": "parquet", ".json": "coco", ".tar": "wds", ".py": "py"}
"""Kinds of files by the endings of their names."""
FOLDERS = ("folder", "masks", "idx", "yolo", "meshes", "cifar-c", "imagenet-c", "objectnet", "wilds")
FILES = ("parquet", "croissant")
"""Kinds of SPEC whose target is always a folder or a file of this machine."""
DENSEST = 50
"""How many times smaller packing makes images at most; of zeros it makes 1000 times less."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options after the `?` of a data SPEC, and whether the network may be used.

    Args:
        spec: the whole SPEC, for messages.
        split: part of the data, or None for the source's default.
        size: side in pixels of the square that every image is resized (short side) and cut (centre) to, or None.
        mode: `RGB` or `L` (luminance), or None to keep what the images are.
        classes: a text file with one class name a line, or None.
        noise: wrong labels made on purpose, as `MODEL:RATE[:SEED]`, or None.
        labels: a file of labels that replace those of the data, or None.
        boxes: a file of boxes of the objects in the images, or None.
        longtail: classes made ever smaller, as `RATIO[:SEED]`, or None.
        images: the folder of the images that a file of annotations is about, or None.
        links: `follow`, or a folder into which symbolic links may lead, or None.
        clean: SPEC of the clean samples that published files were made of, or None.
        corruption: the one corruption of published files to read, or None.
        severity: of that corruption, as text, or None.
        records: name of one of several record sets, or None.
        download: True allows a download.
    """

    spec: str
    split: str | None = None
    size: int | None = None
    mode: Mode | None = None
    classes: str | None = None
    images: str | None = None
    links: str | None = None
    clean: str | None = None
    corruption: str | None = None
    severity: str | None = None
    records: str | None = None
    noise: str | None = None
    longtail: str | None = None
    labels: str | None = None
    boxes: str | None = None
    download: bool = False


def _cut(spec: str) -> tuple[str, str]:
    """A SPEC before its options, and the options; those of a mix stand behind its ratio, others are of its parts."""
    text = spec.strip()
    if not text.startswith("mix:"):
        head, _, tail = text.partition("?")
        return head, tail
    parts, at, ratio = text.rpartition("@")
    ratio, _, tail = ratio.partition("?")
    return parts + at + ratio, tail


def divide(spec: str) -> tuple[str, str, dict[str, str]]:
    """The kind, the target and the raw options of a SPEC.

    >>> divide("folder:photos?size=224&mode=L")
    ('folder', 'photos', {'size': '224', 'mode': 'L'})

    Raises:
        DataError: an option has no value or comes twice.
    """
    head, tail = _cut(spec)
    kind, _, target = head.partition(":")
    options: dict[str, str] = {}
    for part in filter(None, tail.split("&")):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise DataError(f"data {spec!r}: option {part!r} has no value; write it as {name or 'name'}=value")
        if name in options:
            raise DataError(f"data {spec!r}: option {name!r} comes twice")
        options[name] = value
    return kind, target, options


def options_of(spec: str, raw: dict[str, str], known: Collection[str], *, download: bool) -> Options:
    """Check the options of a SPEC.

    Args:
        spec: the whole SPEC, for messages.
        raw: as `divide` gives them.
        known: the option names that this kind of source takes.
        download: True allows a download.

    Raises:
        DataError: an option is unknown here, or its value is not allowed.
    """
    for name in raw:
        if name not in known:
            raise DataError(f"data {spec!r} has no option {name!r}; {did_you_mean(name, known)}")
    size, mode = raw.get("size"), raw.get("mode")
    if size is not None and not (re.fullmatch("[0-9]{1,5}", size) and 1 <= int(size) <= MAX_SIDE):
        raise DataError(f"data {spec!r}: size={size} must be a whole number of pixels from 1 to {MAX_SIDE}")
    if mode is not None and mode not in ("RGB", "L"):
        raise DataError(f"data {spec!r}: mode={mode} must be RGB or L")
    return Options(
        spec=spec,
        split=raw.get("split"),
        size=None if size is None else int(size),
        mode=None if mode is None else "L" if mode == "L" else "RGB",
        classes=raw.get("classes"),
        images=raw.get("images"),
        links=raw.get("links"),
        clean=raw.get("clean"),
        corruption=raw.get("corruption"),
        severity=raw.get("severity"),
        records=raw.get("records"),
        noise=raw.get("noise"),
        longtail=raw.get("longtail"),
        labels=raw.get("labels"),
        boxes=raw.get("boxes"),
        download=download,
    )


def with_option(spec: str, name: str, value: str) -> str:
    """The SPEC with an option set.

    >>> with_option("folder:photos?links=follow&size=32", "links", "cache")
    'folder:photos?size=32&links=cache'
    """
    head, tail = _cut(spec)
    others = [part for part in tail.split("&") if part and part.partition("=")[0] != name]
    return f"{head}?{'&'.join([*others, f'{name}={value}'])}"


def expanded(target: str) -> Path:
    """Write out the `~` of a path.

    Raises:
        OSError: there is no such user.
    """
    try:
        return Path(target).expanduser()
    except RuntimeError:
        raise FileNotFoundError(f"no user {target[1:].partition('/')[0]!r} on this machine") from None


def existing(target: str, spec: str, *, folder: bool) -> Path:
    """The folder or file that a SPEC names, as an absolute path without symbolic links.

    Raises:
        DataError: it is absent, of the other type, or not readable.
    """
    what = "folder" if folder else "file"
    if not target:
        raise DataError(f"data {spec!r} names no {what}")
    try:
        path = expanded(target).resolve(strict=True)
        right = path.is_dir() if folder else path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        near = near_path(target) if isinstance(error, FileNotFoundError) else ""
        how = f"; did you mean {near!r}?" if near else ""
        raise DataError(f"data {spec!r}: {what} {target!r} cannot be opened: {reason_of(error)}{how}") from error
    if not right:
        raise DataError(f"data {spec!r}: {target!r} is not a {what}")
    return path


def unknown_data(name: str, spec: str, known: Collection[str]) -> DataError:
    """The error for a SPEC without a colon that is no named set: it may be a path without its kind.

    Args:
        name: what stands before the options.
        spec: the whole SPEC.
        known: named sets, and kinds with their colon.
    """
    try:
        path = expanded(name)
        there = bool(name) and path.exists()
    except OSError as error:
        return DataError(f"data {spec!r} cannot be opened: {reason_of(error)}")
    kind = "folder" if path.is_dir() else FORMS.get(path.suffix.lower())
    if there and kind is None:
        files = ", ".join(f"{form}:FILE{suffix}" for suffix, form in FORMS.items() if form != "py")
        return DataError(f"data {spec!r} is a file of a form that is not read: give folder:DIR, or a file: {files}")
    if there:
        return DataError(f"data {spec!r} is a path; say what it is: {kind}:{spec}{':FACTORY' * (kind == 'py')}")
    if near := near_path(name):
        kind = "folder" if Path(near).is_dir() else FORMS.get(Path(near).suffix.lower())
        if kind is not None:
            return DataError(f"data {spec!r}: there is no such set and no such path; did you mean '{kind}:{near}'?")
    return DataError(f"data {spec!r} is neither a named set nor of the form kind:target; {did_you_mean(name, known)}")


def check_split(options: Options, target: str) -> None:
    """Check that the option `split`, if given, is the name of a folder.

    Args:
        options: of the SPEC.
        target: the folder that it should stand in, for messages.

    Raises:
        DataError: it is a path.
    """
    split = options.split
    if split is not None and (split in (".", "..") or "/" in split or "\\" in split):
        raise DataError(f"data {options.spec!r}: split={split} must be the name of a folder in {target!r}")


def is_bomb(size: int, packed: int) -> bool:
    """Whether what a packed file holds is far larger than images, labels or weights ever are beside their packed form.

    Args:
        size: bytes that it says it holds.
        packed: bytes of the file.
    """
    return size > max(SMALL, DENSEST * packed)


def reason_of(error: BaseException) -> str:
    """One line that says what went wrong, without addresses or paths that change from run to run."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = re.sub(r"<[^<>]* at 0x[0-9a-f]+>", "", " ".join(text.split()))
    return text[:300] or type(error).__name__
