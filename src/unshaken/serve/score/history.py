"""`History`: windows of what was scored, kept as the rows of a run directory with a page."""

from __future__ import annotations

import copy
import hashlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from unshaken.core.errors import RunError
from unshaken.measure.detection.conformal import Threshold
from unshaken.models import fingerprint
from unshaken.report.pages.service import RECORD, Reference, ServiceRecord, write_history
from unshaken.serve.score.answers import Answers
from unshaken.serve.score.scorer import Scorer
from unshaken.serve.score.windows import SERVED, Window, read_windows, window_rows
from unshaken.store.lock import locked
from unshaken.store.read_rows import parse_rows
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

log = logging.getLogger(__name__)
A_FILE = 100
"""Windows in one file of rows, which is written anew, whole, for each of them."""
REPORT_EVERY = 60.0
"""Seconds between two makings of the page, which is of all windows."""


class History:
    """Record of a service's answers, window by window.

    A window ends when it holds enough images, or is old. The window that is open is stored now and then, too, so that
    a killed server loses some seconds; started again, it begins a new window.

    Args:
        run: directory to keep the windows in.
        scorer: whose answers are counted.
        images: of a window.
        reference: what the model predicts on images of the source that it is meant for; None for no comparison.
        oldest: seconds after which a window ends that has any image.
        every: seconds between two writings of what is new.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        run: RunDir,
        scorer: Scorer,
        *,
        images: int = 1000,
        reference: Reference | None = None,
        oldest: float = 3600.0,
        every: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.run, self.images, self.oldest, self.every, self.clock = run, images, oldest, every, clock
        self.detectors = list(scorer.own)
        self.record = describe(scorer, images, reference)
        settings = self.record.model_dump_json(exclude_none=True).encode()
        run.identify(hashlib.blake2b(settings, digest_size=16).hexdigest())
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._written, self._reported, self._new = 0.0, 0.0, False
        self._renew: Callable[[], None] = lambda: None  # until there is a lock
        self._kept: list[Window] = []  # of the last file, the open one at the end
        self._open = False

    @property
    def stored(self) -> int:
        """Number of windows that are stored, the open one included."""
        with self._lock:
            return self._kept[-1].number + 1 if self._kept else 0

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the run directory, go on after the windows that it has, and store what is new at the end.

        Raises:
            RunError: another process writes there, or its windows are of another model.
        """
        with locked(self.run) as lock:
            self._renew = lock.renew
            self._resume()
            try:
                yield
            finally:
                self.store(force=True)

    def add(self, answers: Answers | None, unusable: int = 0) -> None:
        """Count the images of a request: those that were answered, and the number of the others."""
        now = self.clock()
        with self._lock:
            if not self._open:
                self._kept.append(Window(self._kept[-1].number + 1 if self._kept else 0, now, now))
            window, self._new = self._kept[-1], True
            window.add(answers, unusable, now)
            self._open = window.images < self.images

    def store(self, *, force: bool = False) -> None:
        """Write what is new, if there is anything and the last writing is long enough ago.

        Where that fails, such as on a full disk, it is logged, and tried again later: answers go on.

        Args:
            force: whenever the last one was.
        """
        now = self.clock()
        with self._writing:
            with self._lock:
                self._open = self._open and now - self._kept[-1].began < self.oldest
                if not self._new or not (force or now - self._written >= self.every):
                    return
                self._new, self._written = False, now
                windows, still_open = copy.deepcopy(self._kept), self._open
            try:
                self._renew()
                self._write(windows, still_open)
                if force or now - self._reported >= REPORT_EVERY:
                    self._reported = now
                    write_history(self.run)
            except Exception as error:  # whatever it is: answers go on, and the next writing may succeed
                log.error("the history is not stored: %s", error, exc_info=not isinstance(error, RunError))
                self._new = True
                return
            with self._lock:
                last = self._kept[-1].number // A_FILE
                self._kept = [window for window in self._kept if window.number // A_FILE == last]

    def _write(self, windows: list[Window], still_open: bool) -> None:
        open_window = windows[-1].number if still_open else None
        for file, group in itertools.groupby(windows, lambda window: window.number // A_FILE):
            rows = window_rows(list(group), self.detectors, open_window=open_window)
            self.run.write_rows(table_of(rows), rows.table, SERVED.id, file)

    def _resume(self) -> None:
        """Read the windows of the last file."""
        if self.run.exists(RECORD):
            before, now = ServiceRecord.read(self.run), self.record
            differing = [name for name in ServiceRecord.model_fields if getattr(before, name) != getattr(now, name)]
            if differing:
                raise RunError(
                    f"{self.run}: this history is of another service ({', '.join(differing)} differ); choose another "
                    "--history"
                )
        elif self.run.exists("run.json") or self.run.exists("rows"):
            raise RunError(f"{self.run}: this is a run of another command; choose another --history")
        self.run.sweep()
        self.run.write_json(self.record.model_dump(by_alias=True, exclude_none=True), RECORD)
        files = sorted(shard for _, shard in self.run.finished("windows"))
        if files:
            name = f"{SERVED.id}-{files[-1]:05d}.parquet"
            rows = parse_rows(
                self.run.read("rows", "windows", name), "windows", name, str(self.run), run=self.run.identity
            )
            self._kept = read_windows(rows.to_pylist())


def describe(scorer: Scorer, images: int, reference: Reference | None = None) -> ServiceRecord:
    """Describe the service whose answers a history's rows count.

    Args:
        scorer: of the service.
        images: of a window.
        reference: what windows are compared with; None for nothing.
    """
    return ServiceRecord(
        schema=1,
        model_name=scorer.model.name,
        model_fingerprint=fingerprint(scorer.model),
        classes=list(scorer.model.classes),
        accept=scorer.accept,
        thresholds={label: found.value for label, found in scorer.own.items()},
        most_rejected={label: _surely(found) for label, found in scorer.own.items()},
        most_rejected_by_any=min(1.0, sum(map(_surely, scorer.joint.values()))),
        images=images,
        reference=reference,
    )


def _surely(threshold: Threshold) -> float:
    """The share of normal images that a threshold rejects at most, whatever luck its calibration had (99 %)."""
    return 1 - threshold.accepted_share(level=0.98).low
