"""`stream`: samples decoded ahead by a few threads, in order, as batches and records of bad samples; `first_batch`."""

from __future__ import annotations

import os
import shlex
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice

import numpy as np
import torch

from unshaken.core.batch import Batch, most_images
from unshaken.core.classifier import View
from unshaken.core.device import trim_memory
from unshaken.core.errors import DataError
from unshaken.data.dataset import BadSample, Dataset
from unshaken.data.decode import LARGE, BadImage, Pixels, Source, form_of, open_image, pixels_of
from unshaken.data.spec import with_option

LARGE_BATCH = 1 << 24
"""Numbers of an image that is large: one is enough as a first batch."""
_TRIED = 64
"""Samples that `first_batch` tries at most, without those known to be bad."""


class Reason(str):
    """Why a sample has no image."""


def stream(
    dataset: Dataset,
    indices: Iterable[int] | None = None,
    *,
    view: View | None = None,
    workers: int | None = None,
    batch_size: int = 64,
    own_sizes: bool = False,
) -> Iterator[Batch | BadSample]:
    """Decode samples ahead, in the order asked for, as batches and records of bad ones.

    Beside the batch under way at most `batch_size + 2 workers` images are held, 8 bits a number. Neither these nor a
    batch have more than `BATCH_NUMBERS` numbers, beyond a single image: of very large images batches are smaller. What
    a sample becomes depends on the data alone, not on `indices`, `workers` or `batch_size`.

    Args:
        dataset: where they come from; its SPEC's `size` takes the place of the view's resize and cut, and its `mode` is
            applied before the view's channels.
        indices: which samples; default all. Rising order is the fastest.
        view: how the model looks at photos. Without view and `size`, an image must have the size that most of the
            data's images have; without view and `mode`, what most are (grayscale or RGB) holds for all.
        workers: threads that decode; default the number of cores, at most 8.
        batch_size: samples a batch; only the last one may have fewer, and all where images are very large.
        own_sizes: without view and `size`, leave each image its own size; for batches of one.

    Yields:
        `Batch`es of float32 images in [0, 1] (with labels when the data has any), and a `BadSample` for each sample
        that cannot be used, before the batch that follows it.

    Raises:
        DataError: workers, batch size or an index is out of range; or one size is wanted and most images have another;
            or images are to be resized whose labels are masks.
    """
    workers = min(os.cpu_count() or 1, 8) if workers is None else workers
    if workers < 1 or batch_size < 1:
        raise DataError(f"workers={workers} and batch_size={batch_size} must be 1 or more")
    if own_sizes and batch_size > 1:
        raise DataError(f"images of their own sizes do not make batches of {batch_size}: give batch_size=1")
    order = range(len(dataset)) if indices is None else [int(i) for i in indices]
    for index in order:
        if not 0 <= index < len(dataset):
            raise DataError(f"index {index} is not within the {len(dataset)} samples of {dataset.options.spec!r}")
    masks = dataset.labels is not None and dataset.labels.ndim > 1
    if masks and (view is not None or dataset.options.size is not None):
        raise DataError(
            f"data {dataset.options.spec!r} is labelled with masks, which are not resized with its images: one class "
            "an image is needed here, or a model that takes the images as they are"
        )
    prepare = _Prepare(dataset, view, own_sizes=own_sizes)
    return _stream(dataset, order, prepare, workers, min(batch_size, most_images(prepare.numbers)))


def first_batch(dataset: Dataset, *, view: View | None, size: int = 2) -> Batch:
    """The first samples of a data set that can be read.

    Args:
        dataset: where they come from.
        view: how the model looks at photos.
        size: number of samples; fewer where there are no more, one of very large images.

    Raises:
        DataError: none can be read, with the reason of the first.
    """
    promising = list(islice((i for i in range(len(dataset)) if i not in dataset.bad), _TRIED))
    reason = f"{dataset.ids[0]}: {dataset.bad[0]}" if 0 in dataset.bad else ""
    for item in stream(dataset, promising, view=view, workers=1, batch_size=1):
        if isinstance(item, Batch):
            if item.images.numel() > LARGE_BATCH:
                return item
            break
    for item in stream(dataset, promising, view=view, workers=1, batch_size=size):
        if isinstance(item, Batch):
            return item
        reason = reason or str(item)
    tried = len(promising) or len(dataset)
    raise DataError(f"none of the samples of {dataset.options.spec!r} can be read ({tried} tried); {reason}")


def _stream(
    dataset: Dataset, order: Iterable[int], prepare: _Prepare, workers: int, batch_size: int
) -> Iterator[Batch | BadSample]:
    chosen: list[int] = []
    images: list[Pixels] = []
    for index, found in _decoded(dataset, order, prepare, workers, batch_size + 2 * workers):
        if isinstance(found, str):
            yield BadSample(dataset.ids[index], found)
            continue
        chosen.append(index)
        images.append(found)
        if len(chosen) == batch_size:
            yield _batch(dataset, chosen, images, prepare.view)
            chosen, images = [], []
    if chosen:
        yield _batch(dataset, chosen, images, prepare.view)


def _decoded(
    dataset: Dataset, order: Iterable[int], prepare: _Prepare, workers: int, ahead: int
) -> Iterator[tuple[int, Pixels | str]]:
    """Each index with its pixels or with the reason why there are none, decoded up to `ahead` samples early.

    A thread is given several images at a time: with small ones, handing over costs more than decoding.
    """
    ahead = min(ahead, most_images(prepare.numbers))
    decode, several = partial(_decode, prepare=prepare), max(1, min(8, ahead // (4 * workers)))
    waiting: deque[tuple[list[int], Future[list[Pixels | str]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="unshaken-decode")
    remaining = iter(order)
    try:
        while indices := list(islice(remaining, several)):
            sources = [(index, _fetch(dataset, index)) for index in indices]
            waiting.append((indices, _submit(pool, decode, sources)))
            if several * (len(waiting) + 1) > ahead:
                first, future = waiting.popleft()
                yield from zip(first, future.result(), strict=True)
        for first, future in waiting:
            yield from zip(first, future.result(), strict=True)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _fetch(dataset: Dataset, index: int) -> Source | Reason:
    """The sample as decoded here, in order (a file is read forwards), or why there is nothing."""
    if index in dataset.bad:
        return Reason(dataset.bad[index])
    try:
        held = None if dataset.decoded is None else dataset.decoded.get(index)
        source = dataset.fetch(index) if held is None else held
        if dataset.boxes is not None and index not in dataset.photo_sizes:  # else it is fetched again, out of order
            dataset.photo_sizes[index] = form_of(source)[1]
        return source
    except BadImage as error:
        return Reason(error.reason)


def _submit(
    pool: ThreadPoolExecutor, decode: partial[list[Pixels | str]], sources: list[tuple[int, Source | Reason]]
) -> Future[list[Pixels | str]]:
    try:
        return pool.submit(decode, sources)
    except RuntimeError:  # no thread can be started: this one does the work
        done: Future[list[Pixels | str]] = Future()
        done.set_result(decode(sources))
        return done


def _decode(sources: list[tuple[int, Source | Reason]], prepare: _Prepare) -> list[Pixels | str]:
    found: list[Pixels | str] = []
    for index, source in sources:
        try:
            found.append(source if isinstance(source, Reason) else prepare(index, source))
        except BadImage as error:
            found.append(error.reason)
    return found


def _resized(spec: str) -> str:
    """A SPEC with a size, to be pasted; for an object of a program the option alone."""
    return "size=224" if spec.startswith("<") else shlex.quote(with_option(spec, "size", "224"))


class _Prepare:
    """One image to what the whole stream holds."""

    def __init__(self, dataset: Dataset, view: View | None, *, own_sizes: bool) -> None:
        self.view, self.size, self.mode = view, dataset.options.size, dataset.options.mode
        self.decoded = dataset.decoded
        any_size, any_mode = view is None and self.size is None and not own_sizes, view is None and self.mode is None
        common = dataset.common_form if any_size or any_mode else None
        self.mode_of_most = common.mode if common and any_mode else None
        self.size_of_most = common.size if common and any_size else None
        width, height = (view.width, view.height) if view else self.size_of_most or (1, 1)
        self.numbers = 3 * self.size**2 if self.size is not None else 3 * width * height
        """Of one image at most, where that is known before it is read."""
        if common and any_size and 2 * common.images < common.counted:
            width, height = common.size
            raise DataError(
                f"data {dataset.options.spec!r}: its {common.counted:,} images have {common.sizes:,} sizes, and the "
                f"most common one, {width} x {height}, is that of {common.images:,} only: bring all to the "
                f"size that the model was trained on, as in {_resized(dataset.options.spec)}"
            )

    def __call__(self, index: int, source: Source) -> Pixels:
        image = open_image(source)
        large = image.width * image.height > LARGE
        if self.decoded is not None and not isinstance(source, np.ndarray):  # pixels are in memory already
            self.decoded.add(index, image)
        if self.size_of_most is not None and self.size_of_most != image.size:
            width, height = self.size_of_most
            raise BadImage(
                f"its size {image.width} x {image.height} is not {width} x {height}, that of most images; "
                "bring all to one size with the option size, as in ?size=224"
            )
        if self.mode_of_most == "L" and image.mode == "RGB":
            raise BadImage("it has colour but most images are grayscale; choose with the option mode, RGB or L")
        pixels = pixels_of(image, view=self.view, size=self.size, mode=self.mode or self.mode_of_most)
        if large:
            del image
            trim_memory()
        return pixels


def _batch(dataset: Dataset, chosen: list[int], images: list[Pixels], view: View | None) -> Batch:
    alone = len(images) == 1 and images[0].flags.writeable  # torch warns of memory that it could not write
    stacked = torch.from_numpy(images[0][None] if alone else np.stack(images)).permute(0, 3, 1, 2)
    floats = stacked.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    labels = None if dataset.labels is None else torch.from_numpy(dataset.labels[chosen]).long()
    boxes = None if dataset.boxes is None else dataset.boxes.objects(dataset, chosen, view)
    return Batch(floats, labels, tuple(dataset.ids[i] for i in chosen), boxes)
