"""The public functions, those of one subject in a file; the command line calls the same functions."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from unshaken.core.imports import attribute_of

if TYPE_CHECKING:
    from unshaken.api.audit import Audit, attack, audit, certify
    from unshaken.api.board import BoardResult, board, export_runs, submit_run
    from unshaken.api.corrupt import WrittenCorruptions, corrupt, write_corrupted
    from unshaken.api.detect import detect, set_thresholds
    from unshaken.api.evaluate import EvaluateResult, evaluate
    from unshaken.api.explain import ExplainResult, explain, explain_audit
    from unshaken.api.fool import FoolResult, fool
    from unshaken.api.generate import GenerateResult, fit_generator, generate_set, sample_generator
    from unshaken.api.generate_measure import measure_generated
    from unshaken.api.generate_scaling import ScalingResult, measure_scaling
    from unshaken.api.generate_texture import TextureResult, make_texture
    from unshaken.api.harden import RepairResult, harden, plan_repair, repair
    from unshaken.api.holistic import Holistic, holistic
    from unshaken.api.inspect import inspect
    from unshaken.api.job import choose_device, default_out
    from unshaken.api.labels import LabelsResult, estimate_wrong, find_labels
    from unshaken.api.map import map_of
    from unshaken.api.mark import mark
    from unshaken.api.matrix import MatrixResult, matrix, read_matrix_file
    from unshaken.api.natural import NaturalDirections, find_natural_directions
    from unshaken.api.results import CompareResult, compare, merge
    from unshaken.api.slices import slices
    from unshaken.api.transfer import transfer
    from unshaken.api.verify import verify_submission
    from unshaken.core.options import Options

__all__ = [
    "Audit",
    "BoardResult",
    "CompareResult",
    "EvaluateResult",
    "ExplainResult",
    "FoolResult",
    "GenerateResult",
    "Holistic",
    "LabelsResult",
    "MatrixResult",
    "NaturalDirections",
    "Options",
    "RepairResult",
    "ScalingResult",
    "TextureResult",
    "WrittenCorruptions",
    "attack",
    "audit",
    "board",
    "certify",
    "choose_device",
    "compare",
    "corrupt",
    "default_out",
    "detect",
    "drift",
    "estimate_wrong",
    "evaluate",
    "explain",
    "explain_audit",
    "export_runs",
    "find_labels",
    "find_natural_directions",
    "fit_generator",
    "fool",
    "generate_set",
    "harden",
    "holistic",
    "inspect",
    "make_texture",
    "map_of",
    "mark",
    "matrix",
    "measure_generated",
    "measure_scaling",
    "merge",
    "plan_repair",
    "read_matrix_file",
    "repair",
    "sample_generator",
    "set_thresholds",
    "slices",
    "submit_run",
    "transfer",
    "verify_submission",
    "write_corrupted",
]

_HOMES = {
    "Audit": "unshaken.api.audit",
    "BoardResult": "unshaken.api.board",
    "CompareResult": "unshaken.api.results",
    "EvaluateResult": "unshaken.api.evaluate",
    "ExplainResult": "unshaken.api.explain",
    "FoolResult": "unshaken.api.fool",
    "GenerateResult": "unshaken.api.generate",
    "Holistic": "unshaken.api.holistic",
    "LabelsResult": "unshaken.api.labels",
    "MatrixResult": "unshaken.api.matrix",
    "NaturalDirections": "unshaken.api.natural",
    "Options": "unshaken.core.options",
    "RepairResult": "unshaken.api.harden",
    "ScalingResult": "unshaken.api.generate_scaling",
    "TextureResult": "unshaken.api.generate_texture",
    "WrittenCorruptions": "unshaken.api.corrupt",
    "attack": "unshaken.api.audit",
    "audit": "unshaken.api.audit",
    "board": "unshaken.api.board",
    "certify": "unshaken.api.audit",
    "choose_device": "unshaken.api.job",
    "compare": "unshaken.api.results",
    "corrupt": "unshaken.api.corrupt",
    "default_out": "unshaken.api.job",
    "detect": "unshaken.api.detect",
    "drift": "unshaken.api.inspect",
    "estimate_wrong": "unshaken.api.labels",
    "evaluate": "unshaken.api.evaluate",
    "explain": "unshaken.api.explain",
    "explain_audit": "unshaken.api.explain",
    "export_runs": "unshaken.api.board",
    "find_labels": "unshaken.api.labels",
    "find_natural_directions": "unshaken.api.natural",
    "fit_generator": "unshaken.api.generate",
    "fool": "unshaken.api.fool",
    "generate_set": "unshaken.api.generate",
    "harden": "unshaken.api.harden",
    "holistic": "unshaken.api.holistic",
    "inspect": "unshaken.api.inspect",
    "map_of": "unshaken.api.map",
    "mark": "unshaken.api.mark",
    "matrix": "unshaken.api.matrix",
    "make_texture": "unshaken.api.generate_texture",
    "measure_generated": "unshaken.api.generate_measure",
    "measure_scaling": "unshaken.api.generate_scaling",
    "merge": "unshaken.api.results",
    "plan_repair": "unshaken.api.harden",
    "read_matrix_file": "unshaken.api.matrix",
    "repair": "unshaken.api.harden",
    "sample_generator": "unshaken.api.generate",
    "set_thresholds": "unshaken.api.detect",
    "slices": "unshaken.api.slices",
    "submit_run": "unshaken.api.board",
    "transfer": "unshaken.api.transfer",
    "verify_submission": "unshaken.api.verify",
    "write_corrupted": "unshaken.api.corrupt",
}


class _Verbs(ModuleType):
    @override
    def __setattr__(self, name: str, value: Any) -> None:
        """Keep the function of a name: the import of the module of the same name, such as `audit`, does not hide it."""
        hidden = isinstance(value, ModuleType) and name in _HOMES
        super().__setattr__(name, getattr(value, name) if hidden else value)


def __getattr__(name: str) -> Any:
    return attribute_of(__name__, name, _HOMES)


sys.modules[__name__].__class__ = _Verbs
