"""Samples that cannot be used."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.inspect.engine.base import Check, Issues, Measured


@register("unreadable", reference="Pillow, https://pillow.readthedocs.io")
class Unreadable(Check):
    """Find samples that cannot be read: damaged, empty or missing files, and labels that are wrong."""

    title = "Samples that cannot be read"

    @override
    def find(self, measured: Measured) -> Issues:
        own = measured.set_of == 0
        rows = np.flatnonzero(own & ~measured.readable)
        return Issues(rows, np.zeros(len(rows)), int(own.sum()), notes=[measured.errors[i] for i in rows.tolist()])
