"""The public functions, those of one subject in a file; the command line calls the same functions."""

from unshaken.api.audit import Audit, attack, audit, certify
from unshaken.api.corrupt import WrittenCorruptions, corrupt, write_corrupted
from unshaken.api.detect import detect, set_thresholds
from unshaken.api.explain import ExplainResult, explain, explain_audit
from unshaken.api.fool import FoolResult, fool
from unshaken.api.generate import GenerateResult, fit_generator, generate_set, sample_generator
from unshaken.api.generate_measure import measure_generated
from unshaken.api.harden import RepairResult, harden, plan_repair, repair
from unshaken.api.holistic import Holistic, holistic
from unshaken.api.job import choose_device, default_out
from unshaken.api.labels import LabelsResult, estimate_wrong, find_labels
from unshaken.api.mark import mark
from unshaken.api.matrix import MatrixResult, matrix, read_matrix_file
from unshaken.api.natural import NaturalDirections, find_natural_directions
from unshaken.api.results import CompareResult, compare, merge
from unshaken.core.options import Options

__all__ = [
    "Audit",
    "CompareResult",
    "ExplainResult",
    "FoolResult",
    "GenerateResult",
    "Holistic",
    "LabelsResult",
    "MatrixResult",
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
    "estimate_wrong",
    "explain",
    "explain_audit",
    "find_labels",
    "find_natural_directions",
    "fit_generator",
    "fool",
    "generate_set",
    "harden",
    "holistic",
    "mark",
    "matrix",
    "measure_generated",
    "merge",
    "plan_repair",
    "read_matrix_file",
    "repair",
    "sample_generator",
    "set_thresholds",
    "write_corrupted",
]
