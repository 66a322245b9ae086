"""`EpochAudit`: audit a network every few epochs, from any training loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from unshaken.api.audit import Audit, audit
from unshaken.api.options import check_options
from unshaken.core.device import device_of
from unshaken.core.errors import ParameterError
from unshaken.core.keywords import keywords
from unshaken.core.numbers import LARGEST_COUNT, in_range
from unshaken.core.options import Options
from unshaken.core.rng import kept_random_state
from unshaken.data import DataSource, as_dataset
from unshaken.run.plan import load_plan, prepare
from unshaken.store.output import check_folder
from unshaken.store.tracking import metrics_of

Wrap = Callable[[nn.Module], nn.Module]
"""From the network under training to one from images in [0, 1] to logits, such as one that normalises first."""


class EpochAudit:
    """Audit a network every few epochs; each audit is a run directory `OUT/epoch-0000`, which `compare` takes.

    Weights, gradients, training mode, device and random state of the network are left as they were.

    Args:
        data: as for `unshaken.audit`: labelled images that the network is not trained on.
        every: epochs between two audits; the first epoch, 0, is audited.
        plan: as for `unshaken.audit`.
        wrap: gives the network its preprocessing; None where it takes images in [0, 1].
        prefix: of the names of metrics.
        options: see `Options`; `out` is the folder of the runs, which must hold none yet; `limit` keeps audits short.

    Raises:
        ParameterError: the plan or an option is wrong, or `out` is absent or holds runs.
    """

    @keywords(Options)
    def __init__(
        self,
        data: DataSource,
        *,
        every: int = 1,
        plan: str | Sequence[Any] = "quick",
        wrap: Wrap | None = None,
        prefix: str = "robust/",
        **options: Unpack[Options],
    ) -> None:
        in_range("every", every, 1, LARGEST_COUNT)
        prepare(load_plan(plan))
        out = options.pop("out", None)
        check_options(**options)
        if out is None:
            raise ParameterError("give out=DIR, the folder of the audits")
        if any(Path(out).glob("epoch-*")):
            raise ParameterError(f"out {str(out)!r} holds audits of another training: give an empty folder")
        check_folder(out, "out", ())
        self.data = as_dataset(data, download=options.get("download", False))
        self.out, self.every, self.plan, self.wrap, self.prefix = Path(out), every, plan, wrap, prefix
        self.options = options
        self.audits: dict[int, Audit] = {}
        self.last: dict[str, float] = {}

    def is_due(self, epoch: int) -> bool:
        """Whether this epoch, counted from 0, is audited."""
        return epoch % self.every == 0 and epoch not in self.audits

    def __call__(self, model: nn.Module, epoch: int) -> dict[str, float]:
        """Audit the network if the epoch is due.

        Args:
            model: the network under training.
            epoch: counted from 0.

        Returns:
            Figures with intervals, such as `robust/clean` and `robust/clean_low`; empty where no audit is due. `last`
            keeps those of the last audit.
        """
        if not self.is_due(epoch):
            return {}
        modes = [(module, module.training) for module in model.modules()]
        device = device_of(model)
        try:
            model.eval()
            wrapped = model if self.wrap is None else self.wrap(model).eval()
            with kept_random_state(device):
                given: dict[str, Any] = {"device": str(device), "name": f"epoch {epoch}", **self.options}
                done = audit(wrapped, self.data, plan=self.plan, out=self.out / f"epoch-{epoch:04d}", **given)
        finally:
            for module, training in modes:
                module.training = training
        self.audits[epoch] = done
        self.last = {f"{self.prefix}{name}": value for name, value in metrics_of(done.summary).items()}
        return dict(self.last)
