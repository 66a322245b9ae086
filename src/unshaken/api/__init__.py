"""What programs and notebooks call; the command line calls the same functions. One file a verb."""

from unshaken.api.attack import attack
from unshaken.api.audit import Audit, audit
from unshaken.api.certify import certify
from unshaken.api.compare import compare
from unshaken.api.corrupt import corrupt
from unshaken.api.detect import detect
from unshaken.api.harden import harden
from unshaken.api.job import Options, chosen_device, default_out
from unshaken.api.repair import Repaired, plan_repair, repair
from unshaken.api.screening import set_thresholds

__all__ = [
    "Audit",
    "Options",
    "Repaired",
    "attack",
    "audit",
    "certify",
    "chosen_device",
    "compare",
    "corrupt",
    "default_out",
    "detect",
    "harden",
    "plan_repair",
    "repair",
    "set_thresholds",
]
