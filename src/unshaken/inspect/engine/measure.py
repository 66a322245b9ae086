"""Measure every sample of a data set for several checks: each file is read and decoded once, by a few threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from unshaken.data.dataset import Dataset
from unshaken.data.decode import BadImage, Source, check_bytes, open_image, pixels_of
from unshaken.inspect.engine.base import Measure, Quantities
from unshaken.inspect.engine.sample import DecodedSample

AHEAD = 4
"""Samples that wait for a thread, for each thread."""


def measure_samples(
    dataset: Dataset, indices: Sequence[int], checks: Sequence[Measure], *, workers: int | None = None
) -> Iterator[tuple[int, Quantities, str]]:
    """Decode samples in the order asked for, and measure each; few images are held at a time.

    Images are looked at as they are in the files, upright, unless the SPEC has `size` or `mode`.

    Args:
        dataset: where they come from.
        indices: which samples.
        checks: what is measured, such as checks.
        workers: threads; default the number of cores, at most 8.

    Yields:
        Index of a sample, its quantities by name, and an empty text; without any quantity the reason why it cannot be
        read.
    """
    count = min(os.cpu_count() or 1, 8) if workers is None else workers
    waiting: deque[tuple[int, Future[Quantities] | str]] = deque()
    with ThreadPoolExecutor(count) as pool:
        for index in indices:
            if index in dataset.bad:
                waiting.append((index, dataset.bad[index]))
            else:
                try:
                    waiting.append((index, pool.submit(_measure, dataset, dataset.fetch(index), checks)))
                except BadImage as error:
                    waiting.append((index, error.reason))
            if len(waiting) > AHEAD * count:
                yield _result(*waiting.popleft())
        while waiting:
            yield _result(*waiting.popleft())


def decode_sample(dataset: Dataset, source: Source) -> DecodedSample:
    """Decode what `Dataset.fetch` gave, with the file's bytes where it is one.

    Raises:
        BadImage: it cannot be read.
    """
    if isinstance(source, Path) and source.is_file():
        check_bytes(source.stat().st_size)
        with suppress(OSError):  # `open_image` says why
            source = source.read_bytes()
    image, options = open_image(source), dataset.options
    if options.size is not None or options.mode is not None:
        image = open_image(pixels_of(image, size=options.size, mode=options.mode))
    return DecodedSample(image, source if isinstance(source, bytes) else None)


def _measure(dataset: Dataset, source: Source, checks: Sequence[Measure]) -> Quantities:
    sample = decode_sample(dataset, source)
    return {name: value for check in checks for name, value in check.measure(sample).items()}


def _result(index: int, found: Future[Quantities] | str) -> tuple[int, Quantities, str]:
    if isinstance(found, str):
        return index, {}, found
    try:
        return index, found.result(), ""
    except BadImage as error:
        return index, {}, error.reason
