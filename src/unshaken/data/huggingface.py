"""`hf:NAME`: a data set of the Hugging Face hub or its local form, through the package `datasets`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.errors import DataError, MissingExtra, did_you_mean
from unshaken.data.dataset import Dataset
from unshaken.data.decode import BadImage, Source
from unshaken.data.labels import labels_from
from unshaken.data.parquet import ids_from
from unshaken.data.sample_metadata import plain_columns
from unshaken.data.spec import Options, expanded, reason_of


class HubDataset(Dataset):
    """Rows of a `datasets.Dataset`; an id is the column `id`, or else the row's number."""

    def __init__(self, rows: Any, options: Options) -> None:
        from datasets import ClassLabel, Image, Value

        features = rows.features
        image = _the_one(features, "image", Image, options) or ""
        label = _the_one(features, "label", ClassLabel, options)
        small = [c for c in ("id", label) if c is not None and c in features]
        table = rows.select_columns(small).with_format("arrow")[:] if small else None
        ids = ids_from(table.column("id"), options.spec) if "id" in small and table is not None else None
        labels: NDArray[np.int64] | None = None
        bad: dict[int, str] = {}
        classes = tuple(getattr(features.get(label), "names", None) or ())
        if label is not None and table is not None and not _hidden(table.column(label), features[label], ClassLabel):
            labels, classes, bad = labels_from(table.column(label), classes, options.spec)
        self._files = [str(f["filename"]) for f in rows.cache_files]
        self._mark = str(getattr(rows, "_fingerprint", ""))
        self._rows = rows.select_columns([image]).cast_column(image, Image(decode=False)).with_format(None)
        self._image = image
        others = [
            name
            for name, kind in features.items()
            if name not in ("id", image, label) and isinstance(kind, Value | ClassLabel)
        ]
        self._others = rows.select_columns(others) if others else None
        super().__init__(
            ids=ids if ids is not None else map(str, range(len(rows))),
            labels=labels,
            classes=classes,
            root=str(Path(self._files[0]).parent) if self._files else options.spec,
            options=options,
            bad=bad,
        )

    @override
    def columns(self) -> dict[str, list[Any]]:
        if self._others is None:
            return {}
        found = plain_columns(self._others.with_format("arrow")[:])
        for name, values in found.items():
            if names := getattr(self._others.features[name], "names", None):  # a further column of classes
                found[name] = [names[v] if v is not None and 0 <= v < len(names) else None for v in values]
        return found

    @override
    def fetch(self, index: int) -> Source:
        value = self._rows[index][self._image]
        if value is None or (value.get("bytes") is None and not value.get("path")):
            raise BadImage("the image is null")
        return value["bytes"] if value.get("bytes") is not None else Path(value["path"])

    @override
    def content(self) -> Iterable[object]:
        for name in self._files:
            found = Path(name).stat()
            yield Path(name).name, found.st_size, found.st_mtime_ns
        if not self._files:
            yield self._mark
        yield self.ids
        yield b"" if self.labels is None else self.labels.tobytes()


def open_hub(target: str, options: Options) -> HubDataset:
    """Open a data set by its hub name or as a local folder (saved by `save_to_disk`, or of data files).

    The network is touched only when `download` is allowed; else the library works offline, from its cache. No code of
    a data set is run.

    Raises:
        DataError: it is absent, has no such split, or no image column.
        MissingExtra: the package datasets is absent.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "data", "reading hf: data") from error
    if not target:
        raise DataError(f"data {options.spec!r} names no data set")
    try:
        path = expanded(target)
        local = path.is_dir()
    except (OSError, ValueError) as error:
        raise DataError(f"data {options.spec!r} cannot be opened: {reason_of(error)}") from None
    try:
        with offline(local or not options.download), _without_bars():
            if local and ((path / "state.json").is_file() or (path / "dataset_dict.json").is_file()):
                found = datasets.load_from_disk(str(path))
            else:
                found = datasets.load_dataset(str(path) if local else target)
    except Exception as error:  # the library and the network raise many kinds; the reason is kept
        hint = "" if local or options.download else "; to fetch it from the hub, allow the download (--download)"
        raise DataError(f"data {options.spec!r} cannot be opened: {reason_of(error)}{hint}") from error
    return HubDataset(_split_of(found, options), options)


@contextmanager
def offline(wanted: bool) -> Iterator[None]:
    """Keep `datasets` and `huggingface_hub` from the network, for as long as this lasts; the whole process is meant."""
    import datasets.config
    import huggingface_hub.constants

    places = [
        (module, name)
        for module in (datasets.config, huggingface_hub.constants)
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
        if wanted and hasattr(module, name)
    ]
    before = [getattr(module, name) for module, name in places]
    try:
        for module, name in places:
            setattr(module, name, True)
        yield
    finally:
        for (module, name), value in zip(places, before, strict=True):
            setattr(module, name, value)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep the library's own progress bars off stderr, where one line says what matters."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    quiet = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not quiet:
            enable_progress_bars()


def _split_of(found: Any, options: Options) -> Any:
    if not isinstance(found, dict):
        if options.split is not None:
            raise DataError(f"data {options.spec!r} was saved as one split; leave the option split away")
        return found
    split = options.split or ("test" if "test" in found else next(iter(found)) if len(found) == 1 else None)
    if split is None:
        raise DataError(
            f"data {options.spec!r} has the splits {', '.join(found)}; choose one: ?split={next(iter(found))}"
        )
    if split not in found:
        raise DataError(f"data {options.spec!r} has no split {split!r}; {did_you_mean(split, found)}")
    return found[split]


def _the_one(features: Any, name: str, kind: type, options: Options) -> str | None:
    """The column of this name, or else the only one of this type."""
    if name in features and (name == "label" or isinstance(features[name], kind)):
        return name
    found = [column for column, feature in features.items() if isinstance(feature, kind)]
    if len(found) > 1 or (name == "image" and not found):
        raise DataError(
            f"data {options.spec!r} has {len(found) or 'no'} columns of type {kind.__name__} and none of the name "
            f"{name!r}; its columns: {', '.join(features)}"
        )
    return found[0] if found else None


def _hidden(column: Any, feature: Any, kind: type) -> bool:
    """Whether all labels are -1, which is how the hub hides those of a test set."""
    return isinstance(feature, kind) and column.null_count == 0 and set(pc.unique(column).to_pylist()) == {-1}
