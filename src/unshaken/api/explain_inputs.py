"""Settings of `explain`, and the models and samples that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from unshaken.api.explain_maps import Truth
from unshaken.api.job import Inputs, choose_device, images_a_pass, load_inputs, within_classes
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.options import Options
from unshaken.core.registry import Parameters, parse_method
from unshaken.data import Dataset, DataSource, as_dataset, subset
from unshaken.data.box_files import cut_boxes, read_box_table
from unshaken.explain.engine.analysis import Analysis, Subject
from unshaken.explain.engine.attribution import Attribution
from unshaken.explain.engine.metric import MapMetric
from unshaken.models import as_classifier, fingerprint
from unshaken.models.align import ModelClasses, align
from unshaken.models.within import choose_same, refuse_within

CONTROL = "random-map"
"""The map that knows nothing, beside which metrics are read."""
EXPLAINED = ("prediction", "label")
IMAGES_A_PASS = 256
"""Images in one pass at most, where no model says more."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A checked request of `explain`.

    Args:
        models: SPECs or objects.
        data: a SPEC or an object; None without, which analyses of weights alone allow.
        maps: name to attribution, the control among them where maps are judged.
        analyses: name to analysis.
        metrics: name to metric.
        boxes: a file of boxes; None without.
        masks: a folder of masks; None without.
        target: one of `EXPLAINED`.
        options: of the run.
    """

    models: Sequence[str | nn.Module]
    data: DataSource | None
    maps: Mapping[str, Attribution[Any]]
    analyses: Mapping[str, Analysis]
    metrics: Mapping[str, MapMetric]
    boxes: str | None
    masks: str | None
    target: str
    options: Options

    def __post_init__(self) -> None:
        if self.target not in EXPLAINED:
            raise ParameterError(f"target={self.target!r} is not one of {', '.join(EXPLAINED)}")
        if len(self.models) > 1:
            for name, method in {**self.maps, **self.analyses}.items():
                if not getattr(method, "several", False):
                    raise ParameterError(f"{name} looks at one model and there are {len(self.models)}: name one")
        if not self.models:
            raise ParameterError("no model: name one, such as demo")

    @classmethod
    def of(
        cls, models: Any, data: DataSource | None, methods: Any, metrics: Any, *, boxes: str | None,
        masks: str | None, target: str, options: Options,
    ) -> Request:  # fmt: skip
        """Read what the caller gave.

        Raises:
            ParameterError: a method is not known or does not fit the others.
        """
        for name, value in {"boxes": boxes, "masks": masks}.items():
            if not isinstance(value, str | None):
                raise ParameterError(f"{name}={value!r} must be a path as a string")
        chosen, judges = _named(methods, Attribution | Analysis), _named(metrics, MapMetric)
        if not chosen:
            raise ParameterError("no method: name one, such as gradcam; 'unshaken list explain' has all")
        maps = {name: method for name, method in chosen.items() if isinstance(method, Attribution)}
        analyses = {name: method for name, method in chosen.items() if isinstance(method, Analysis)}
        if judges and not maps:
            raise ParameterError("metrics judge maps: name an attribution, such as gradcam, too")
        if judges and CONTROL not in maps:
            maps |= _named(CONTROL, Attribution)
        if models is None:
            models, data = "demo", "demo" if data is None else data
        several = list(models) if isinstance(models, Sequence) and not isinstance(models, str) else [models]
        return cls(several, data, maps, analyses, judges, boxes, masks, target, options)

    @property
    def needs(self) -> frozenset[str]:
        """Inputs that the methods need, of `model`, `images` and `labels`."""
        return frozenset().union(
            *(a.required for a in self.analyses.values()), ("model", "images") if self.maps else ()
        )

    def first_that_needs(self, what: str) -> str:
        """The first method that needs a thing."""
        return next((n for n, a in self.analyses.items() if what in a.required), next(iter(self.maps), ""))


@dataclass(frozen=True, slots=True, eq=False)
class ExplainInputs:
    """Models and samples of a request.

    Args:
        subject: of the analyses.
        inputs: model and data of the maps; None where nothing needs both.
        truth: where the objects are.
        remarks: on labels and boxes, each a line.
    """

    subject: Subject
    inputs: Inputs | None
    truth: Truth
    remarks: Sequence[str] = ()

    @property
    def class_names(self) -> list[str]:
        """Names of the model's classes, else of the data's."""
        if self.inputs is not None:
            return self.inputs.class_names
        return [] if self.subject.dataset is None else list(self.subject.dataset.classes)

    def settings(self, request: Request) -> dict[str, Any]:
        """Settings that decide the rows: a run that is resumed must have the same."""
        dataset = self.subject.dataset
        return {
            "models": [m if isinstance(m, str) else f"<{type(m).__name__}>" for m in request.models]
            if self.subject.models else [],
            "model_fingerprints": [fingerprint(model) for model in self.subject.models.values()],
            "data": None if dataset is None else dataset.options.spec,
            "data_fingerprint": None if dataset is None else dataset.fingerprint,
            "labels_version": None if dataset is None else dataset.labels_version,
            "methods": _written(request.maps) | _written(request.analyses), "metrics": _written(request.metrics),
            "boxes": request.boxes, "masks": request.masks, "target": request.target,
            "limit": request.options["limit"], "seed": request.options["seed"],
        }  # fmt: skip


def load(request: Request) -> ExplainInputs:
    """Load what the methods need, and nothing else.

    Raises:
        ParameterError: a method needs data or labels, and there are none.
        ModelError: a model cannot be loaded, has weights that are not numbers, or does not take the images.
        DataError: the data cannot be read, or its labels are of other classes than the model's.
    """
    options, needs = request.options, request.needs
    truth = Truth(None if request.boxes is None else read_box_table(request.boxes), request.masks)
    if "images" in needs and request.data is None:
        raise ParameterError(f"{request.first_that_needs('images')} looks at images: give data")
    if request.data is None:
        alone = _models(request, "cpu") if "model" in needs else {}
        _check_weights(request, alone)
        return ExplainInputs(Subject(alone, seed=options["seed"]), None, truth)
    if "model" not in needs:
        dataset = as_dataset(request.data, download=options["download"])
        return ExplainInputs(
            _subject(request, {}, dataset, IMAGES_A_PASS, choose_device(options["device"])), None, truth
        )
    inputs = load_inputs(request.models[0], request.data, options)
    classifier = inputs.classifier
    own = ModelClasses.of(classifier, inputs.outputs, inputs.model)
    needed = "labels" in needs or request.target == "label"
    inputs, record = within_classes(inputs, align(inputs.dataset, own, needed=needed))
    remarks = [f"labels: {line}" for line in [record.line(inputs.class_names)] if line] if record is not None else []
    others = _models(request, inputs.device, after=1)
    for name, other in others.items():
        refuse_within(other, "for a further model, whose classes are those of the first")
        if needed:
            others[name] = choose_same(other, inputs.classifier, purpose="model")
    models = {_name(request.models[0], 0): inputs.classifier, **others}
    _check_weights(request, models)
    if truth.boxes is None and truth.masks is None:
        truth = replace(truth, boxes=inputs.dataset.boxes)
    cut, text = cut_boxes(truth.boxes, inputs.dataset.ids)
    remarks += [f"boxes: {text}"] if cut else []
    return ExplainInputs(
        _subject(request, models, inputs.dataset, images_a_pass(inputs, options), inputs.device), inputs, truth, remarks
    )


def _subject(request: Request, models: Any, dataset: Dataset, batch: int, device: str) -> Subject:
    if "labels" in request.needs and dataset.labels is None:
        name = request.first_that_needs("labels")
        raise ParameterError(f"{name} needs labels, and data {dataset.options.spec!r} has none")
    options = request.options
    chosen = subset(dataset, options["limit"], options["seed"]).tolist()
    size = batch if options["batch_size"] == "auto" else options["batch_size"]
    return Subject(models, dataset, chosen, options["seed"], size, options["workers"], device)


def _models(request: Request, device: str, after: int = 0) -> dict[str, Any]:
    """The models by name, from one on."""
    download = request.options["download"]
    return {
        _name(model, place): as_classifier(model, download=download).to(device)
        for place, model in enumerate(request.models)
        if place >= after
    }


def _check_weights(request: Request, models: Mapping[str, Classifier]) -> None:
    """Refuse weights that are not numbers, of which only analyses of filters have something to say."""
    asked = [*request.maps, *(name for name, analysis in request.analyses.items() if analysis.group != "filters")]
    for name, model in models.items() if asked else ():
        for weight, value in model.net.named_parameters():
            if bool(value.isnan().any()):
                raise ModelError(
                    f"model {name!r}: its weights {weight!r} are not numbers (NaN), so that {asked[0]} has nothing to "
                    "explain: give weights from before the training failed"
                )


def _name(model: str | nn.Module, place: int) -> str:
    return model if isinstance(model, str) else f"{type(model).__name__}-{place + 1}"


def _written(methods: Mapping[str, Parameters]) -> dict[str, Any]:
    return {name: [method.info.name, method.model_dump(mode="json")] for name, method in methods.items()}


def _named(given: Any, kind: Any) -> dict[str, Any]:
    """Methods under names that are unique: a second one of a method gets a number."""
    found: dict[str, Any] = {}
    if not isinstance(given, str | Parameters | Sequence):
        raise ParameterError(f"{given!r} names no method: give NAME[:k=v,...], an object, or a list of them")
    for one in [given] if isinstance(given, str | Parameters) else given:
        method = parse_method(one, "explain") if isinstance(one, str) else one
        if not isinstance(method, kind):
            name = method.info.name if isinstance(method, Parameters) else repr(method)
            metric = isinstance(method, MapMetric)
            raise ParameterError(
                f"{name} is {'a metric of maps: give it as --metric' if metric else 'no method of this kind'}"
            )
        if method in found.values():
            raise ParameterError(f"{method.info.name!r} is given twice with the same parameters: give it once")
        name, number = method.info.name, 2
        while name in found:
            name, number = f"{method.info.name}-{number}", number + 1
        found[name] = method
    return found
