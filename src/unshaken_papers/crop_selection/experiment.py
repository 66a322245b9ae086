"""Labels of photos and of small images under shifts of the camera, with crops chosen in several ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unshaken.certify.crops.crop_selection import CropSelection
from unshaken.certify.crops.shifts import EIGHT, FOUR, Framing, agreed, ball, framed, named
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View, evaluating
from unshaken.core.errors import DataError, ModelError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.data import Dataset, stream, subset
from unshaken.data.dataset import BadSample
from unshaken.models.align import ModelClasses, aligned
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken_papers.crop_selection import CROPS, RARE, SCORES, WINDOW, CropSelectionPaper
from unshaken_papers.crop_selection.figures import Sides, shifted
from unshaken_papers.crop_selection.nets import RandomWindows, window_net

PHOTO_SHARD, SMALL_SHARD = 100, 2000


def run(paper: CropSelectionPaper, context: Context) -> None:
    """Photos; and CIFAR-10, where neither data nor model are the user's own."""
    model = context.load_model(context.model)
    photos = Photos.of(context, model, paper.photos)
    splits = {} if context.own else {s: context.datasets.read(s, "cifar10") for s in ("train", "test")}
    photos.one_pixel()
    centre = shifted(context.rows(), "photos", photos.baselines[1].name, FOUR)
    if float(centre.moved.mean()) < RARE:
        photos.further(paper.far_photos)
    for seed in context.seeds(paper.seeds) if splits else ():
        small_networks(paper, context, splits, seed)


def small_networks(paper: CropSelectionPaper, context: Context, splits: Mapping[str, Split], seed: int) -> None:
    """Two networks of a seed, trained on whole windows and on crops; the latter is shown centre crops as well.

    Args:
        paper: the sizes.
        context: of the experiment.
        splits: `train` and `test`.
        seed: of weights, order and test photos.
    """
    batch = splits["test"].stratified(paper.cifar_photos, seed).batch()
    train = splits["train"].stratified(paper.images, seed)
    training = plan_training(paper.epochs, seed, lr=0.2, nesterov=True, smoothing=0.05, held_out=1)
    plain = Framing(f"plain-{WINDOW}", "centre_crop", WINDOW)
    centres = [Framing(f"centre-{m}", "centre_crop", m) for m in CROPS]
    selections = [Framing(f"hash-{m}", "crop-selection", m, CropSelection(crop=m)) for m in CROPS]
    for name, sides, framings in (
        ("as-trained", (WINDOW,), [plain, *selections]),
        ("on-crops", CROPS, [*centres, *selections]),
    ):
        net = context.within(f"s{seed}").net(name, window_net, train, training, [RandomWindows(sides=sides)]).model
        net.view = View(WINDOW, WINDOW)
        part, oracle = Shifts(context, f"small.s{seed}.{name}", WINDOW, EIGHT), Oracle(net, limit=256)
        with evaluating(net):
            for shard, first in enumerate(range(0, len(batch), SMALL_SHARD)):
                if not part.has(framings, shard):
                    part.write(batch[slice(first, first + SMALL_SHARD)], shard, framings, oracle, selections)


@dataclass(frozen=True, slots=True)
class Shifts:
    """Writes rows of shifted windows.

    Args:
        context: of the experiment.
        prefix: of the conditions.
        side: of the windows in pixels.
        shifts: none first.
    """

    context: Context
    prefix: str
    side: int
    shifts: Sequence[tuple[int, int]]

    def has(self, shown: Sequence[Framing], shard: int) -> bool:
        """Whether all rows of a part of the samples are there."""
        return self.context.has(named(self.prefix, shown[-1], self.shifts[-1]), shard=shard)

    def write(
        self, batch: Batch, shard: int, shown: Sequence[Framing], oracle: Oracle, certified: Sequence[Framing]
    ) -> None:
        """Whether all windows select one crop, and what the network predicts.

        Args:
            batch: images with a margin for the shifts.
            shard: which part of the samples they are.
            shown: how the network is shown them.
            oracle: of the network.
            certified: selections whose agreement is written.
        """
        norm = f"{len(self.shifts) - 1}-neighbours"
        for framing in certified:
            if self.context.has(f"{self.prefix}.{framing.name}", "certificates", shard):
                continue
            self.context.keep([agreed(batch, framing, self.side, self.shifts, self.prefix, norm)], shard)
        for framing in shown:
            if self.has([framing], shard):
                continue
            self.context.keep(framed(batch, framing, self.side, self.shifts, oracle, self.prefix), shard)


@dataclass(frozen=True, slots=True)
class Photos:
    """The part on photos.

    Args:
        context: of the experiment.
        model: the network.
        dataset: labelled photos.
        indices: which of them.
        sides: sizes in pixels.
    """

    context: Context
    model: Classifier
    dataset: Dataset
    indices: list[int]
    sides: Sides

    @classmethod
    def of(cls, context: Context, model: Classifier, photos: int) -> Photos:
        """A stratified subset.

        Raises:
            DataError: the photos are absent or have no labels.
            ModelError: the network does not take squares.
        """
        view = model.view
        if view is None or view.height != view.width:
            raise ModelError(f"model {context.model!r} must take squares of one size: add ?size=224 or what it takes")
        dataset = context.datasets.open()
        if dataset.labels is None:
            raise DataError(f"data {context.data!r} has no labels; accuracy stands beside every figure here")
        dataset = aligned(dataset, ModelClasses.of(model))
        dataset = dataset.within(len(model.classes)) if model.classes else dataset
        return cls(context, model, dataset, subset(dataset, photos, context.seed).tolist(), Sides.of(view.height))

    @property
    def baselines(self) -> list[Framing]:
        """The whole window, and its centre in the network's own side."""
        window, first = self.sides.window, self.sides.crops[0]
        return [Framing(f"resize-{window}", "resize", window), Framing(f"centre-{first}", "centre_crop", first)]

    def selections(self, score: str) -> list[Framing]:
        """Crop selection by a score, one of each side."""
        return [
            Framing(f"{score}-{m}", "crop-selection", m, CropSelection(score=score, crop=m)) for m in self.sides.crops
        ]

    def one_pixel(self) -> None:
        """The four neighbours: agreement of all scores; predictions of the baselines, the hash, and one Laplacian."""
        shown = [*self.baselines, *self.selections("hash"), self.selections("laplacian")[0]]
        others = [f for score in SCORES for f in self.selections(score)]
        self._write("photos", self.indices, shown, FOUR, others)

    def further(self, count: int) -> None:
        """Shifts of up to `Sides.reach` pixels, on fewer photos: the centre crop and the hash at the network's side."""
        chosen = self.indices[:: max(1, len(self.indices) // count)][:count]
        self._write("photos-far", chosen, [self.baselines[1], self.selections("hash")[0]], ball(self.sides.reach))

    def _write(
        self, prefix: str, indices: Sequence[int], shown: Sequence[Framing], shifts: Sequence[tuple[int, int]],
        certified: Sequence[Framing] = (),
    ) -> None:  # fmt: skip
        oracle = Oracle(self.model, limit=8)  # activations of a few photos stay in the cache
        part = Shifts(self.context, prefix, self.sides.window, shifts)
        with evaluating(self.model), track(prefix, len(indices)) as task:
            for shard, first in enumerate(range(0, len(indices), PHOTO_SHARD)):
                if not part.has(shown, shard):
                    batch = self._read(prefix, indices[first : first + PHOTO_SHARD], shard)
                    part.write(batch, shard, shown, oracle, certified)
                task.advance(min(PHOTO_SHARD, len(indices) - first))

    def _read(self, prefix: str, rows: Sequence[int], shard: int) -> Batch:
        """Photos as one batch; which of them can be read is written."""
        view, side = self.model.view, self.sides.photo
        cut = None if view is None else View(side, side, side, view.interpolation, view.channels)
        items = list(stream(self.dataset, rows, view=cut, batch_size=PHOTO_SHARD))
        batches = [item for item in items if isinstance(item, Batch)]
        if not batches:
            raise DataError(f"data {self.context.data!r}: none of {len(rows)} photos can be read")
        batch, bad = Batch.concat(batches), [item.id for item in items if isinstance(item, BadSample)]
        readable = {"id": [*batch.ids, *bad], "readable": [True] * len(batch) + [False] * len(bad)}
        if not self.context.has(prefix, "photos", shard):
            self.context.write("photos", prefix, readable, shard)
        return batch
