"""`lightning_callback`: `EpochAudit` as a callback of Lightning's trainer."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from unshaken.callbacks.epoch_audit import EpochAudit
from unshaken.core.errors import UnshakenError


def lightning_callback(check: EpochAudit) -> Any:
    """Audit the module at the end of each due epoch, on the first process, and log figures to the trainer's loggers.

    Args:
        check: the audit; it gets the Lightning module, whose `forward` must give logits.

    Returns:
        An instance of Lightning's `Callback`, for `Trainer(callbacks=[...])`.

    Raises:
        UnshakenError: Lightning is absent.
    """

    class RobustnessCallback(_callback_class()):  # type: ignore[misc]
        """Audits at the end of an epoch."""

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.is_global_zero:
                return
            figures = check(pl_module, trainer.current_epoch)
            for logger in trainer.loggers if figures else ():
                logger.log_metrics(figures, step=trainer.global_step)

    return RobustnessCallback()


def _callback_class() -> Any:
    """Lightning's `Callback`, of the package of either name."""
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return import_module(name).Callback
        except ImportError:
            continue
    raise UnshakenError("lightning_callback needs Lightning, which is absent: pip install lightning")
