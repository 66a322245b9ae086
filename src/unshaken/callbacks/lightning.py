"""`RobustnessCallback`: `EpochAudit` as a callback of Lightning's trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.callbacks.epoch_audit import EpochAudit
from unshaken.core.errors import UnshakenError

if TYPE_CHECKING:
    Callback = object
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        try:
            from pytorch_lightning import Callback
        except ImportError:
            raise UnshakenError(
                "unshaken.callbacks.lightning needs Lightning, which is absent: pip install lightning"
            ) from None


class RobustnessCallback(Callback):
    """Audit the module after each due epoch's validation, on the first process, and log figures to its loggers.

    Args:
        check: the audit; it gets the Lightning module, whose `forward` must give logits.
    """

    def __init__(self, check: EpochAudit) -> None:
        super().__init__()
        self.check = check

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Audit at the end of an epoch."""
        if not trainer.is_global_zero:
            return
        figures = self.check(pl_module, trainer.current_epoch)
        for logger in trainer.loggers if figures else ():
            logger.log_metrics(figures, step=trainer.global_step)
