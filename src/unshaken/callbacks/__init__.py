"""Audits while a network is trained by a loop that is not this package's: any loop, Lightning, timm."""

from unshaken.callbacks.epoch_audit import EpochAudit
from unshaken.callbacks.lightning import lightning_callback

__all__ = ["EpochAudit", "lightning_callback"]
