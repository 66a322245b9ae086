"""Images that occur more than once."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.inspect.engine.base import Check, Issues, Measurements, Quantities
from unshaken.inspect.engine.groups import group_issues
from unshaken.inspect.engine.sample import DecodedSample


@register("exact-duplicates", reference="cleanvision 0.3.7, https://github.com/cleanlab/cleanvision")
class ExactDuplicates(Check):
    """Find images that occur more than once, in one set or in two: with the same pixels, or the same file.

    A run's rows on the data, if given, say how much the model's accuracy owes to images that are in another set too.
    """

    title = "Exact duplicates"
    by: Literal["pixels", "files"] = Field(
        default="pixels", description="comparison by decoded pixels or by bytes of files"
    )

    @override
    def measure(self, sample: DecodedSample) -> Quantities:
        return {"pixel_hash": sample.pixel_hash, "file_hash": sample.file_hash}

    @override
    def find(self, measured: Measurements) -> Issues:
        texts = measured.quantities["pixel_hash" if self.by == "pixels" else "file_hash"]
        known = texts != ""
        component = np.arange(len(texts))
        _, start, place = np.unique(texts[known], return_index=True, return_inverse=True)
        component[known] = np.flatnonzero(known)[start][place]
        found = group_issues(measured, component, np.zeros(len(texts)), "duplicates")
        if self.by == "files" and not known.any():
            remark = "The data has no files whose bytes could be compared; by=pixels compares what they hold."
            return Issues(found.rows, found.scores, found.checked, found.groups, found.notes, found.figures, (remark,))
        return found
