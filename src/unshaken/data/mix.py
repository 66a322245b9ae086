"""`mix:REAL+GENERATED@r`: a labelled data set, and beside it generated images of the same classes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.rng import SampleRng
from unshaken.data.dataset import Dataset
from unshaken.data.decode import Source, open_image, pixels_of
from unshaken.data.spec import Options

MADE = "generated/"
"""Stands before the ids of generated images; those of real ones are what they were."""
MOST = 10**6
"""Largest ratio; far larger ones are beyond 64 bits."""
FORM = re.compile(r"(?P<real>[^+]+)\+(?P<made>[^+]+)@(?P<ratio>[0-9.eE-]+)(:(?P<seed>[0-9]+))?")


class MixDataset(Dataset):
    """Real samples, then generated ones.

    Args:
        real: all of it is taken.
        made: generated images.
        rows: which of them are taken, int64 `[n]`.
        options: as of a SPEC.
    """

    def __init__(self, real: Dataset, made: Dataset, rows: NDArray[np.int64], options: Options) -> None:
        labels = _labels(real, options.spec), _labels(made, options.spec)
        super().__init__(
            ids=chain(real.ids, (MADE + made.ids[i] for i in rows)),
            labels=np.concatenate([labels[0], labels[1][rows]]),
            classes=real.classes,
            root=real.root,
            options=options,
            bad=real.bad,
        )
        self.real, self.made, self.rows = real, made, rows

    @property
    def is_generated(self) -> NDArray[np.bool_]:
        """Whether each sample is a generated one, `[N]`."""
        return np.arange(len(self)) >= len(self.real)

    @override
    def fetch(self, index: int) -> Source:
        place = index - len(self.real)
        part, own = (self.real, index) if place < 0 else (self.made, int(self.rows[place]))
        source, options = part.fetch(own), part.options
        if options.size is None and options.mode is None:
            return source
        pixels = pixels_of(open_image(source), size=options.size, mode=options.mode)
        return pixels[..., 0] if pixels.shape[-1] == 1 else pixels

    @override
    def columns(self) -> dict[str, list[Any]]:
        empty = [None] * len(self.rows)
        real = {name: [*values, *empty] for name, values in self.real.columns().items()}
        return {**real, "generated": self.is_generated.tolist()}

    @override
    def content(self) -> Iterable[object]:
        yield self.real.fingerprint
        yield self.made.fingerprint
        yield self.rows.tobytes()


def open_mix(target: str, options: Options, load: Callable[[str], Dataset]) -> MixDataset:
    """Open real images and generated ones beside them, by their SPECs.

    Args:
        target: `REAL+GENERATED@RATIO[:SEED]`; both parts are SPECs, with options of their own, and have no `+` in them.
        options: of the mix.
        load: opens a SPEC.

    Raises:
        DataError: as `mix_datasets`; or the SPEC has another form.
    """
    found = FORM.fullmatch(target)
    if found is None:
        raise DataError(
            f"data {options.spec!r} is not of the form mix:REAL+GENERATED@RATIO[:SEED], such as "
            "'mix:fashion-mnist?split=train+parquet:generated.parquet@1'; neither part may have a + in its name"
        )
    try:
        ratio = float(found["ratio"])
    except ValueError:
        ratio = math.nan
    return mix_datasets(load(found["real"]), load(found["made"]), ratio, seed=int(found["seed"] or 0), options=options)


def mix_datasets(
    real: Dataset, made: Dataset, ratio: float, *, seed: int = 0, options: Options | None = None
) -> MixDataset:
    """A labelled data set and generated images beside it.

    Of each class as many generated images are taken as it has real ones times the ratio, `round(r N)` in all; which
    ones follows from the seed and their ids alone. Of each class a smaller ratio takes some of those of a larger one,
    but for the rounding, which may now and then give a class one image fewer at the larger ratio.

    Args:
        real: labelled.
        made: labelled with the same classes.
        ratio: r, 0 or more. With 0 there are the real samples alone, under their ids: a training of them repeats bit
            by bit.
        seed: of the choice.
        options: as of a SPEC; default none.

    Raises:
        DataError: a part has boxes or no labels, classes or sizes of images differ, there are too few generated images
            of a class, or the ratio is no number of 0 or more.
    """
    options = Options(spec="<mix>") if options is None else options
    spec = options.spec
    if not 0 <= ratio <= MOST:
        raise DataError(
            f"data {spec!r}: the ratio must be a number of 0 or more, and at most {MOST:,}: generated images for each "
            "real one"
        )
    labels = _labels(real, spec), _labels(made, spec)
    if real.boxes is not None or made.boxes is not None:
        raise DataError(f"data {spec!r}: a mix does not keep the boxes of its parts: give the mix a file of boxes")
    k = max(len(real.classes), int(labels[0].max(initial=-1)) + 1)
    if real.classes and made.classes and real.classes != made.classes:
        raise DataError(
            f"data {spec!r}: classes differ, {_few(real.classes)} and {_few(made.classes)}: give both the same names"
        )
    if labels[1].max(initial=-1) >= k:
        raise DataError(f"data {spec!r}: generated images have the class {labels[1].max()}; real ones 0 to {k - 1}")
    if options.size is None:
        _check_sizes(real, made, spec)
    good = np.setdiff1d(np.arange(len(made)), np.fromiter(made.bad, np.int64, len(made.bad)))
    wanted = _quotas(np.bincount(labels[0][labels[0] >= 0], minlength=k), ratio)
    there = np.bincount(labels[1][good][labels[1][good] >= 0], minlength=k)
    for c in np.flatnonzero(there < wanted).tolist():
        raise DataError(
            f"data {spec!r}: class {c} has {there[c]} generated images and needs {wanted[c]} at ratio {ratio:g}: "
            "generate more, or take a smaller ratio"
        )
    draw = SampleRng.of(seed, "mix", made.ids).keys.numpy()
    rows = [good[labels[1][good] == c] for c in range(k)]
    chosen = [r[np.argsort(draw[r], kind="stable")[:n]] for r, n in zip(rows, wanted.tolist(), strict=True)]
    return MixDataset(real, made, np.sort(np.concatenate(chosen)), options)


def _quotas(counts: NDArray[np.int64], ratio: float) -> NDArray[np.int64]:
    """Counts times the ratio, rounded so that they sum to the rounded sum: the largest remainders are rounded up.

    >>> _quotas(np.array([3, 3, 4]), 0.5).tolist()
    [2, 1, 2]
    """
    exact = counts * ratio
    found = np.floor(exact + 1e-9).astype(np.int64)
    left = round(float(exact.sum())) - int(found.sum())
    found[np.argsort(found - exact, kind="stable")[:left]] += 1
    return np.asarray(found, np.int64)


def _labels(part: Dataset, spec: str) -> NDArray[np.int64]:
    if part.labels is None or part.labels.ndim > 1:
        raise DataError(f"data {spec!r}: {part.options.spec!r} has no class for each image: a mix needs one")
    return part.labels


def _check_sizes(real: Dataset, made: Dataset, spec: str) -> None:
    sizes = [_side(part) for part in (real, made)]
    if None not in sizes and sizes[0] != sizes[1]:
        one, other = ("x".join(map(str, size or ())) for size in sizes)
        raise DataError(
            f"data {spec!r}: real images are of {one} pixels and generated ones of {other}: give the mix a size, as in "
            "...@1?size=28, or one part"
        )


def _side(part: Dataset) -> tuple[int, int] | None:
    if part.options.size is not None:
        return part.options.size, part.options.size
    form = part.common_form
    return None if form is None else form.size


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
