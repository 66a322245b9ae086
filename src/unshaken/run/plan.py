"""Plans: which methods a run applies, at which strengths."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unshaken.core.consent import refuse_code
from unshaken.core.documents import first_problem, read_yaml
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import shorten
from unshaken.core.part import CLEAN, Condition
from unshaken.core.registry import Parameters, as_method, find_method, list_methods, list_records
from unshaken.run.adapters import Line, conditions_of, has_adapter
from unshaken.store.config import Entry

THE_15 = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
"""The common corruptions of ImageNet-C's test set, in its order."""
IMAGENET_C_BAR = (
    *("blue_noise_sample", "brownish_noise", "caustic_refraction", "checkerboard_cutout", "cocentric_sine_waves"),
    *("inverse_sparkles", "perlin_noise", "plasma_noise", "single_frequency_greyscale", "sparkles"),
)
CIFAR_C_BAR = (
    *("blue_noise_sample", "brownish_noise", "checkerboard_cutout", "circular_motion_blur", "inverse_sparkles"),
    *("lines", "pinch_and_twirl", "ripple", "sparkles", "transverse_chromatic_abberation"),
)
"""The ten corruptions of ImageNet-C-bar and of CIFAR-10-C-bar."""
COMMON_3D = (
    *("near_focus", "far_focus", "color_quant", "flash", "fog_3d", "iso_noise", "low_light"),
    *("xy_motion_blur", "z_motion_blur"),
)
COMMON_3D_VIDEO = ("bit_error", "h265_abr", "h265_crf")
"""Nine of the twelve of ImageNet-3DCC, and the three others, which are faults of coded video and need an extra."""

COCO_O = ("sketch", "cartoon", "painting", "weather", "handmake", "tattoo")
"""The six domains of COCO-O, as filters."""


class Step:
    """An entry made ready: the method and its conditions.

    Args:
        entry: the line of the plan.
        label: the method's name, made unique within the plan.
    """

    def __init__(self, entry: Entry, label: str) -> None:
        self.entry, self.label = entry, label
        self.method: Parameters = entry.build()
        norms = find_method(entry.method).norms
        if entry.norm is not None and entry.norm not in norms:
            known = f"is not one of {', '.join(norms)}" if norms else "is given, but this method has none: remove it"
            raise ParameterError(f"{entry.method}: norm {shorten(entry.norm)} {known}")
        if entry.target is not None and not getattr(self.method, "reaches_targets", False):
            raise ParameterError(f"{entry.method}: target is given, but this method reaches no chosen class: remove it")
        norm = entry.norm or next(iter(norms), "linf")
        line = Line(label, entry.severities, entry.eps, norm, entry.target)
        self.conditions: list[Condition] = conditions_of(self.method, line)


def _at_all_severities(methods: Sequence[str]) -> list[dict[str, Any]]:
    return [{"method": m, "severities": [1, 2, 3, 4, 5]} for m in methods]


_CORRUPTIONS = _at_all_severities(THE_15)
_SHIFTS: list[dict[str, Any]] = [
    {"method": "translation", "severities": [1, 2, 3]},
    {"method": "cyclic_translation", "severities": [1]},
]
_ATTACKS: list[dict[str, Any]] = [
    {"method": "fgsm", "eps": ["2/255", "8/255"]},
    {"method": "pgd", "eps": ["2/255", "8/255", 0.1]},
    {"method": "auto", "params": {"queries": 1000}, "eps": ["8/255"]},
    {"method": "auto", "params": {"queries": 1000}, "norm": "l2", "eps": [0.5]},
    {"method": "apgd", "params": {"steps": 50}, "norm": "l1", "eps": [12.0]},
    {"method": "deepfool", "norm": "l2", "eps": [0.5]},
    {"method": "spatial"},
]
PLANS: dict[str, list[dict[str, Any]]] = {
    "quick": [
        *(
            {"method": m, "severities": [1, 3, 5]}
            for m in ("gaussian_noise", "motion_blur", "fog", "contrast", "jpeg_compression")
        ),
        {"method": "translation", "severities": [1]},
        {"method": "fgsm", "eps": ["8/255"]},
        {"method": "pgd", "params": {"steps": 20, "rel_stepsize": 0.1}, "eps": ["2/255", "8/255", 0.1]},
    ],
    "corruptions": _CORRUPTIONS,
    "attacks": _ATTACKS,
    "c-bar": _at_all_severities(IMAGENET_C_BAR),
    "cifar-c-bar": _at_all_severities(CIFAR_C_BAR),
    "3dcc": _at_all_severities(COMMON_3D),
    "3dcc-video": _at_all_severities(COMMON_3D_VIDEO),
    "coco-o": [{"method": m, "severities": [5]} for m in COCO_O],
    "low-light": _at_all_severities(("underexposure", "low_light", "overexposure")),
    "full": [*_CORRUPTIONS, *_SHIFTS, *_ATTACKS],
}
"""The named plans. Help and completion read the names from this file's text: they are written out here alone."""


def load_plan(source: str | Sequence[Any]) -> list[Entry]:
    """A plan by name, from a YAML file, or from a list of entries or methods.

    Raises:
        ParameterError: the plan or a line of it is not understood.
    """
    if isinstance(source, Parameters | Mapping):
        source = [source]
    if not isinstance(source, str):
        return [_entry(line, i, "plan") for i, line in enumerate(source, 1)]
    if source in PLANS:
        return [_entry(line, i, source) for i, line in enumerate(PLANS[source], 1)]
    path = Path(source)
    if path.suffix not in {".yaml", ".yml"}:
        raise ParameterError(f"no plan {source!r}: {did_you_mean(source, PLANS)}, or a .yaml file")
    lines = read_yaml(path, f"plan {source!r}", ParameterError)
    refuse_code(lines, f"plan {source!r}")
    if not isinstance(lines, list) or not lines:
        raise ParameterError(f"plan {source!r} must be a list of lines such as '- {{method: fog, severities: [1, 3]}}'")
    return [_entry(line, i, source) for i, line in enumerate(lines, 1)]


def prepare(entries: Sequence[Entry]) -> list[Step]:
    """The steps of a plan, each with a label that no other has.

    Raises:
        ParameterError: a method or its parameters are wrong, or two lines say the same.
    """
    steps: list[Step] = []
    known_ids = {CLEAN.id}
    for entry in entries:
        label, number = entry.method, 1
        step = Step(entry, label)
        if len({c.id for c in step.conditions}) < len(step.conditions):
            raise ParameterError(f"the plan's line for {entry.method!r} has a severity or an eps twice")
        while any(c.id in known_ids for c in step.conditions):
            if any(entry.method == s.entry.method and step.method == s.method for s in steps):
                raise ParameterError(f"the plan has the line for {entry.method!r} twice: join their strengths in one")
            number += 1
            step = Step(entry, f"{entry.method}+{number}")
        known_ids |= {c.id for c in step.conditions}
        steps.append(step)
    return steps


def is_runnable(name: str) -> bool:
    """Whether a method of this name exists and makes rows; no other method is imported."""
    try:
        return has_adapter(find_method(name).cls)
    except ParameterError:
        return False


def further_models(entries: Sequence[Entry]) -> list[str]:
    """SPECs of models that methods of a plan name, such as surrogates; each once."""
    return sorted({spec for step in prepare(entries) for spec in getattr(step.method, "further_models", ())})


def further_files(entries: Sequence[Entry]) -> list[str]:
    """Files and folders that methods of a plan name, such as generators or masks, if they exist; each once."""
    named = {name for step in prepare(entries) for name in getattr(step.method, "further_files", ())}
    return sorted(name for name in named if Path(name).exists())


def further_data(entries: Sequence[Entry]) -> list[str]:
    """SPECs of data that methods of a plan name, such as pictures of backgrounds; each once."""
    return sorted({spec for step in prepare(entries) for spec in getattr(step.method, "further_data", ())})


def _entry(line: Any, number: int, source: str) -> Entry:
    if isinstance(line, Entry):
        return line
    if isinstance(line, str):
        line = {"method": line}
    if isinstance(line, Parameters):
        method = as_method(line, line.room)
        line = {"method": method.info.name, "params": method.model_dump(exclude_defaults=True)}
    try:
        entry = Entry.model_validate(line)
    except (ValidationError, ParameterError) as error:
        if isinstance(error, ValidationError):
            raise ParameterError(f"plan {source!r}, line {number}: {first_problem(error, 'line')}") from None
        raise ParameterError(f"plan {source!r}, line {number}: {error}") from None
    if not is_runnable(entry.method):
        near = difflib.get_close_matches(entry.method, [one["name"] for one in list_records()])
        known = list(filter(is_runnable, near)) or [m.name for m in list_methods() if has_adapter(m.cls)]
        raise ParameterError(
            f"plan {source!r}, line {number}: no method {entry.method!r}: {did_you_mean(entry.method, known)}"
        )
    return entry.model_copy(update={"method": find_method(entry.method).name})
