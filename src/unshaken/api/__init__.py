"""The public functions, one file per command; the command line calls the same functions."""

from unshaken.api.attack import attack
from unshaken.api.audit import Audit, audit
from unshaken.api.certify import certify
from unshaken.api.compare import CompareResult, compare
from unshaken.api.corrupt import corrupt
from unshaken.api.detect import detect
from unshaken.api.explain import ExplainResult, explain
from unshaken.api.explain_audit import explain_audit
from unshaken.api.fool import FoolResult, fool
from unshaken.api.generate import GenerateResult, fit_generator, sample_generator
from unshaken.api.generate_measure import measure_generated
from unshaken.api.generate_set import generate_set
from unshaken.api.harden import harden
from unshaken.api.holistic import Holistic, holistic
from unshaken.api.job import choose_device, default_out
from unshaken.api.mark import mark
from unshaken.api.merge import merge
from unshaken.api.natural import NaturalDirections, find_natural_directions
from unshaken.api.repair import RepairResult, plan_repair, repair
from unshaken.api.screening import set_thresholds
from unshaken.api.write_corrupted import WrittenCorruptions, write_corrupted
from unshaken.core.options import Options

__all__ = [
    "Audit",
    "CompareResult",
    "ExplainResult",
    "FoolResult",
    "GenerateResult",
    "Holistic",
    "NaturalDirections",
    "Options",
    "RepairResult",
    "WrittenCorruptions",
    "attack",
    "audit",
    "certify",
    "choose_device",
    "compare",
    "corrupt",
    "default_out",
    "detect",
    "explain",
    "explain_audit",
    "find_natural_directions",
    "fit_generator",
    "fool",
    "generate_set",
    "harden",
    "holistic",
    "mark",
    "measure_generated",
    "merge",
    "plan_repair",
    "repair",
    "sample_generator",
    "set_thresholds",
    "write_corrupted",
]
