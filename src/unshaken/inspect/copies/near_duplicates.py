"""Images that look the same: resized, compressed again, slightly cut or brightened copies."""

from __future__ import annotations

import numpy as np
from PIL import Image
from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.inspect.engine.base import Check, Issues, Measurements, Quantities
from unshaken.inspect.engine.groups import group_issues, join_pairs
from unshaken.inspect.engine.hashes import dhash, from_hex, near_pairs, phash, to_hex
from unshaken.inspect.engine.sample import DecodedSample
from unshaken.measure.statistics.columns import Flags, Indices

SIDE = 16
"""Side in pixels of the small copy by which a pair is confirmed."""


@register("near-duplicates", reference="Krawetz 2011 and 2013, https://www.hackerfactor.com/blog")
class NearDuplicates(Check):
    """Find images that look the same, in one set or in two: their hashes differ in few bits, and so do small copies.

    Two images are a pair where their perceptual hashes (pHash) differ in at most `bits` of 64 bits, or their difference
    hashes (dHash) do, and where the Pearson correlation of their grey copies at 16 x 16 pixels is at least
    `correlation`; a flat image's hash is that of noise, so that the copies decide. Pairs with the same pixels are one
    image here. Groups are connected pairs: the ends of a chain may differ more.
    """

    title = "Near duplicates"
    bits: int = Field(default=6, description="bits of a hash in which a pair may differ, of 64", ge=0, le=24)
    correlation: float = Field(default=0.95, description="least correlation of a pair's small grey copies", ge=-1, le=1)

    @override
    def measure(self, sample: DecodedSample) -> Quantities:
        small = np.asarray(sample.grey.resize((SIDE, SIDE), Image.Resampling.BOX))
        return {
            "pixel_hash": sample.pixel_hash, "phash": to_hex(phash(sample.grey)), "dhash": to_hex(dhash(sample.grey)),
            "grey_16": small.tobytes().hex(),
        }  # fmt: skip

    @override
    def find(self, measured: Measurements) -> Issues:
        known = np.flatnonzero(measured.readable)
        component, distance = np.arange(len(measured)), np.zeros(len(measured))
        if len(known):
            _, first, place = np.unique(
                measured.quantities["pixel_hash"][known], return_index=True, return_inverse=True
            )
            one = known[first]  # of each image one sample
            pairs, differing = self._pairs(measured, one)
            nearest = np.full(len(one), 64)
            for side in pairs:
                np.minimum.at(nearest, side, differing)
            joined = join_pairs(*pairs, len(one))
            alone = np.bincount(joined)[joined] == 1  # copies of one image alone are exact duplicates
            component[known] = np.where(alone[place], known, len(measured) + joined[place])
            distance[known] = np.where(alone, 0, nearest)[place] / 64
        return group_issues(measured, component, distance, "near_duplicates")

    def _pairs(self, measured: Measurements, rows: Indices) -> tuple[tuple[Indices, Indices], Indices]:
        """Confirmed pairs as places in `rows`, and the bits in which they differ, of the nearer hash."""
        copies = np.frombuffer(bytes.fromhex("".join(measured.quantities["grey_16"][rows].tolist())), np.uint8)
        small = copies.reshape(len(rows), -1).astype(np.float32)
        small -= small.mean(1, keepdims=True)
        small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6)
        found = [(np.empty(0, np.int64),) * 3]
        for name in ("phash", "dhash"):
            bits: Flags = from_hex(measured.quantities[name][rows])
            for first, second, differing in near_pairs(bits, self.bits):
                sure = np.einsum("nd,nd->n", small[first], small[second]) >= self.correlation - 1e-6
                found.append((first[sure], second[sure], differing[sure]))
        first, second, differing = (np.concatenate(part) for part in zip(*found, strict=True))
        return (first, second), differing
