"""The format of a file without a telling name, by its first bytes."""

from __future__ import annotations

import re
from pathlib import Path

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


def why_unreadable(form: str) -> str | None:
    """Why files of a format are left out and what to do; None for a format that is read."""
    return f"{form} images are not read: convert it to PNG or JPEG" if form in UNREADABLE.values() else None
