"""Crop selection on photos: same-crop rates of all scores, label failures, nearest neighbours, accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from unshaken.certify.crops.crop_selection import CropSelection, four_neighbours_rate, same_crop_rate
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View, evaluating
from unshaken.core.errors import DataError, ModelError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.data import Dataset, load_data, stream, subset
from unshaken.measure.statistics.columns import Flags
from unshaken.models import fingerprint, load_model
from unshaken.papers._crop_figures import Seen, against, looked_figures, rate, read_agreed, read_seen
from unshaken.papers._shifted import FOUR, Look, agreed, ball, looked, named
from unshaken.papers.base import Bench
from unshaken.run.align import aligned

SCORES = ("hash", "laplacian", "random_filter", "box_energy", "box_mean")
PREFIX, FAR_PREFIX = "photos", "photos-far"
SHARD = 100
FAR = 4
"""Pixels of the further shifts that are tried where one pixel hardly ever changes the baseline's label."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Sizes in pixels, in the proportions 288 : 256 : 224, 192, 160 for a network that takes 224.

    Args:
        photo: short side of the photo; its central square is used.
        window: what the camera sees.
        crops: of crop selection; the first is the network's own side.
    """

    photo: int
    window: int
    crops: tuple[int, int, int]

    @classmethod
    def of(cls, network: int) -> Sides:
        """For a network that takes squares of so many pixels."""
        one = network / 7
        return cls(round(9 * one), round(8 * one), (network, round(6 * one), round(5 * one)))


class PhotoExperiment:
    """The experiment, ready to run.

    Args:
        bench: where it runs.
        photos: how many at most.
        far_photos: how many for the further shifts.

    Raises:
        UnshakenError: data or model is absent or does not fit.
    """

    def __init__(self, bench: Bench, photos: int, far_photos: int) -> None:
        self.bench, self.far_photos = bench, far_photos
        self.model = load_model(bench.model, download=bench.download)
        view = self.model.view
        if view is None or view.height != view.width:
            raise ModelError(f"model {bench.model!r} must take squares of one size: add ?size=224 or what it takes")
        self.sides = Sides.of(view.height)
        self.view = View(self.sides.photo, self.sides.photo, self.sides.photo, view.interpolation, view.channels)
        self.dataset = _labelled(load_data(bench.data, download=bench.download), self.model)
        self.indices = subset(self.dataset, photos, bench.seed).tolist()
        window, crops = self.sides.window, self.sides.crops
        self.baselines = [
            Look(f"resize-{window}", "resize", window),
            Look(f"centre-{crops[0]}", "centre_crop", crops[0]),
        ]
        self.selections = {
            score: [Look(f"{score}-{m}", "crop_selection", m, CropSelection(score=score, crop=m)) for m in crops]
            for score in SCORES
        }
        self.asked = [*self.baselines, *self.selections["hash"], self.selections["laplacian"][0]]

    def key(self) -> dict[str, Any]:
        """What decides the rows."""
        return {
            "photos": [self.dataset.ids[i] for i in self.indices],
            "photo_data": self.dataset.fingerprint,
            "photo_model": fingerprint(self.model),
            "photo_sides": [self.sides.photo, self.sides.window, *self.sides.crops],
        }

    def run(self) -> dict[str, Any]:
        """All rows that are not there yet, then the figures."""
        oracle = Oracle(self.model, limit=8)  # activations of a few photos stay in the cache
        with evaluating(self.model), track("photos under shifts", len(self.indices)) as task:
            last = named(PREFIX, self.asked[-1], FOUR[-1])
            for shard, batch in self._shards(self.indices, last):
                for looks in self.selections.values():
                    parts = [agreed(batch, k, self.sides.window, FOUR, PREFIX, "4-neighbours") for k in looks]
                    self.bench.keep(parts, shard)
                for look in self.asked:
                    self.bench.keep(looked(batch, look, self.sides.window, FOUR, oracle, PREFIX), shard)
                task.advance(len(batch))
        figures, seen = self._figures()
        centre = seen[self.baselines[1].name]
        if float(centre.moved.mean()) < 0.03:
            with evaluating(self.model):
                figures["far"] = self._far(oracle)
        return figures

    def _figures(self) -> tuple[dict[str, Any], dict[str, Seen]]:
        seen = read_seen(self.bench.run, PREFIX, self.asked, FOUR)
        first = self.sides.crops[0]
        centre = seen[self.baselines[1].name]
        every = [look for looks in self.selections.values() for look in looks]
        same: dict[str, Flags] = read_agreed(self.bench.run, PREFIX, every)
        counts = {m: self.sides.window - m + 1 for m in self.sides.crops}
        figures = {
            "same_crop": {s: {str(k.size): rate(same[k.name]) for k in looks} for s, looks in self.selections.items()},
            "law": {str(m): round(four_neighbours_rate(k), 4) for m, k in counts.items()},
            "looks": {name: looked_figures(s, neighbours=True) for name, s in seen.items()},
            "against_centre": {
                look.name: against(centre, seen[look.name]) for look in self.asked if look.selection is not None
            },
            "names": {"resize": self.baselines[0].name, "centre": self.baselines[1].name, "selected": f"hash-{first}"},
            "bad_samples": len(self.indices) - len(centre.correct),
        }
        return figures, seen

    def _far(self, oracle: Oracle) -> dict[str, Any]:
        """All shifts of up to `FAR` pixels, on fewer photos: the centre crop and the hash at the network's side."""
        shifts, looks = ball(FAR), [self.baselines[1], self.selections["hash"][0]]
        chosen = self.indices[:: max(1, len(self.indices) // self.far_photos)][: self.far_photos]
        with track("photos under further shifts", len(chosen)) as task:
            for shard, batch in self._shards(chosen, named(FAR_PREFIX, looks[-1], shifts[-1])):
                for look in looks:
                    self.bench.keep(looked(batch, look, self.sides.window, shifts, oracle, FAR_PREFIX), shard)
                task.advance(len(batch))
        seen = read_seen(self.bench.run, FAR_PREFIX, looks, shifts)
        law = same_crop_rate(self.sides.window - looks[1].size + 1, shifts)
        return {
            "pixels": FAR,
            "law": round(law, 4),
            **{look.name: looked_figures(seen[look.name], neighbours=True) for look in looks},
        }

    def _shards(self, indices: Sequence[int], last: str) -> Iterator[tuple[int, Batch]]:
        """Shards whose last condition is not there yet, as one batch each; bad samples are left out."""
        finished = self.bench.run.finished()
        for shard, first in enumerate(range(0, len(indices), SHARD)):
            if (last, shard) in finished:
                continue
            rows = indices[first : first + SHARD]
            found = stream(self.dataset, rows, view=self.view, batch_size=SHARD)
            batches = [item for item in found if isinstance(item, Batch)]
            if not batches:
                raise DataError(f"data {self.bench.data!r}: none of {len(rows)} photos can be read")
            yield shard, batches[0]


def _labelled(dataset: Dataset, model: Classifier) -> Dataset:
    if dataset.labels is None:
        raise DataError(f"data {dataset.options.spec!r} has no labels; accuracy stands beside every figure here")
    dataset = aligned(dataset, model.classes)
    return dataset.within(len(model.classes)) if model.classes else dataset
