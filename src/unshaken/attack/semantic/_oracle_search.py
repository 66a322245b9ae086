"""Searches bounded by oracles: their parameters, their preparation, and their rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PrivateAttr
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.base import Attack, AttackResult
from unshaken.attack.semantic._committee import Vote, fit_oracles, load_oracles
from unshaken.attack.semantic._search_space import OWN, Given, OracleSpace, Tools, find_space, space_of
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.consent import is_code, unescape
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.imports import need
from unshaken.core.oracle import Oracle, required
from unshaken.core.part import Condition, Part
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.core.tables import declare_table
from unshaken.generate.latent.loading import generator_files


def lasso_mask(codes: Tensor, labels: Tensor, penalty: float, method: str) -> Tensor:
    """The coordinates that a linear model with an l1 penalty uses for any class.

    Args:
        codes: `[N, ...]`, all finite; standardised here.
        labels: int64 `[N]`.
        penalty: alpha of `|y - X w|^2 / 2N + alpha |w|_1`, with y 1 for the class and 0 for the others.
        method: for messages.

    Returns:
        Bool, of the shape of one code.

    Raises:
        MissingExtra: scikit-learn is absent.
        ParameterError: all samples are of one class, or no coordinate is kept.
    """
    linear: Any = need("sklearn.linear_model", "scikit-learn", "labels", f"{method}: latent_mask=lasso")
    x, y = codes.flatten(1).cpu().double().numpy(), labels.cpu().numpy()
    classes = np.unique(y)
    if len(classes) < 2:
        raise ParameterError(f"{method}: latent_mask=lasso needs images of two classes or more, not {len(classes)}")
    spread = x.std(0)
    x = (x - x.mean(0)) / np.where(spread > 0, spread, 1)
    used = np.zeros(x.shape[1], bool)
    for k in classes:
        used |= linear.Lasso(alpha=penalty, max_iter=5000, tol=1e-3).fit(x, (y == k).astype(float)).coef_ != 0
    if not used.any():
        raise ParameterError(
            f"{method}: the lasso keeps none of {x.shape[1]} coordinates: lower penalty={penalty:g}, or use "
            "latent_mask=none"
        )
    return torch.from_numpy(used).view(codes.shape[1:]).to(codes.device)


TABLE = "oracle_bounded"
STOPS = ("budget", "oracle", "start", "not-finite")
"""Why a search ended: all steps were made; the oracle refused a step, or the very start; a value was no number."""
BUDGET, REFUSED, START, NOT_FINITE = range(len(STOPS))
FOOLED, WRONG = "fooled", "misclassified"
"""The same: the model was fooled, where that ends a search; the unchanged image was misclassified, so none was made."""
COLUMNS = declare_table(
    "oracle_bounded",
    "id string, condition string, method string, validated bool, accepted int64, stop string, held_out bool, "
    "held_out_clean bool, oracle_forwards int64, seconds double",
)
VOID = FlagKind(
    "no-oracle",
    "the search was not bounded by an oracle, so nothing says that its images still show their class",
    "Do not read the accuracy as robustness. Name an oracle (oracle=SPEC) of the same classes that is better than the "
    "model.",
)
UNFIT_ORACLE = FlagKind(
    "unfit-oracle",
    "the oracle sees the class in none of the first images, so that no image was perturbed",
    "Look at the order of its classes (map=FILE), its prompts and its input size, and at what the generator makes of "
    "unchanged images.",
)


@dataclass(frozen=True, slots=True, eq=False)
class OracleRecord:
    """Verdict of the oracles on each image.

    Args:
        validated: bool `[N]`: the oracle sees the class in the reconstruction.
        searched: bool `[N]`: false where the unchanged image is misclassified.
        accepted: int64 `[N]`, steps that it approved of.
        stop: int64 `[N]`, places in `STOPS`; anything where not searched.
        fooled: bool `[N]`.
        early: whether the first success ended a search.
        passes: int64 `[N]`, of the oracles in the search.
        held_out: bool `[N]`: verdict of other oracles on the last image; None without such.
        held_out_clean: as `held_out`, of the unchanged image.
        seconds: float64 `[N]`.
    """

    validated: Tensor
    searched: Tensor
    accepted: Tensor
    stop: Tensor
    fooled: Tensor
    early: bool
    passes: Tensor
    held_out: Tensor | None
    held_out_clean: Tensor | None
    seconds: Tensor

    def reasons(self) -> list[str]:
        """Why each search ended, in words."""
        found = []
        columns = zip(self.searched.tolist(), self.stop.tolist(), self.fooled.tolist(), strict=True)
        for searched, stop, fooled in columns:
            name = STOPS[stop] if searched else WRONG
            found.append(FOOLED if self.early and fooled and name == STOPS[0] else name)
        return found


def oracle_rows(condition: Condition, ids: Sequence[str], record: OracleRecord) -> Part:
    """The rows of one condition.

    Args:
        condition: where they belong.
        ids: of the samples.
        record: of them, in their order.
    """
    columns = {
        "id": list(ids),
        "validated": record.validated.tolist(),
        "accepted": record.accepted.tolist(),
        "stop": record.reasons(),
        "oracle_forwards": record.passes.tolist(),
        "seconds": record.seconds.tolist(),
    }
    for name in ("held_out", "held_out_clean"):
        if (verdict := getattr(record, name)) is not None:
            columns[name] = verdict.tolist()
    return Part(TABLE, condition, columns)


FIRST = 64
"""Of the run's first images, those that the oracle is tried on before the search."""
S = TypeVar("S", bound=State)


class OracleSearch(Attack[S]):
    """Base of searches that oracles bound: parameters, preparation and rows. A subclass writes the steps."""

    norms: ClassVar[tuple[str, ...]] = ()
    reaches_targets: ClassVar[bool] = False

    oracle: tuple[str, ...] = Field(
        default=(), description="SPEC of the oracle, or of several; empty for an unbounded search"
    )
    map: tuple[str, ...] = Field(
        default=(),
        description="file with a line for each oracle class: the model's class number, or -1; or one for each oracle",
    )
    vote: Vote = Field(
        default="mean", description="rule of several oracles: largest mean probability, majority, or all"
    )
    min_confidence: float = Field(default=0.0, ge=0, le=1, description="least probability of the class for an approval")
    held_out: tuple[str, ...] = Field(default=(), description="SPECs of oracles asked about the last image only")
    held_out_map: tuple[str, ...] = Field(default=(), description="as map, for held_out")
    generator: str = Field(
        default="pixels", description="maker of the images: pixels, transform, or the SPEC of a generative model"
    )
    steps: NonNegativeInt = Field(default=50, description="largest number of steps B")
    rule: Literal["adam", "sign", "normalised"] = Field(default="adam", description="step rule")
    step_size: NonNegativeFloat = Field(
        default=0.1, description="length of a step, in deviations of the image's start code"
    )
    tv: NonNegativeFloat = Field(default=10.0, description="for pixels: weight of the total variation, in nats")
    noise: PositiveFloat = Field(
        default=0.1, description="for diffusion models: deviation of the noise taken away, in pixels"
    )
    latent_mask: Literal["none", "lasso"] = Field(
        default="none", description="change those coordinates that a lasso keeps"
    )
    penalty: PositiveFloat = Field(
        default=0.01, description="weight of the l1 norm in the lasso, on standardised coordinates"
    )
    together: NonNegativeFloat = Field(
        default=0.0, description="weight of the oracle's own loss, to attack it with the model"
    )
    early: bool = Field(
        default=False, description="end at the first image that fools the model, not at the last approved one"
    )
    _space: OracleSpace | None = PrivateAttr(None)
    _given: Given = PrivateAttr(default_factory=Given)

    def using(
        self,
        oracles: Sequence[Classifier] = (),
        held_out: Sequence[Classifier] = (),
        generator: nn.Module | None = None,
    ) -> Self:
        """The same search with models from memory, in the place of those that the parameters name.

        Args:
            oracles: in evaluation mode.
            held_out: likewise.
            generator: a generative model with codes, likewise; None for that of the parameters.
        """
        copy = self.model_copy()
        copy._given = Given(tuple(oracles), tuple(held_out), generator)
        return copy

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        code = (self.generator,) if is_code(self.generator) else ()
        return tuple(unescape(spec) for spec in (*self.oracle, *self.held_out, *code))

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return (*self.map, *self.held_out_map, *(() if self.generator in OWN else generator_files(self.generator)))

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        name, reference = self.info.name, context.reference
        if reference is None or not len(reference):
            raise ParameterError(f"{name}: there are no images to try oracle and generator on")
        ready = self._ready(context.oracle, reference, context.classes, context.once)
        phases, flags = [Phase(ready, name)], []
        if not ready._search_space().committee:
            flags = [VOID.flag(f"{name}: no oracle is named, so that nothing bounds the search")]
        elif not context.once((name, "known", self), lambda: ready._knows_any(reference, context)):
            n = min(FIRST, len(reference))
            flags = [UNFIT_ORACLE.flag(f"{name}: the oracle sees the class in none of the first {n} images")]
        return phases, flags

    @override
    def further_rows(self, batch: Batch, condition: Condition, result: AttackResult, context: Context) -> list[Part]:
        reference = context.reference() if context.reference else batch
        space = self._ready(context.oracle, reference, result.logits.shape[1], context.once)._search_space()
        labels, images = required(batch.labels), batch.images.float()
        none = torch.full_like(labels, -1)
        stop, accepted, asked = (result.notes.get(name, none) for name in ("stop", "accepted", "asked"))
        validated, rows = (stop == BUDGET) | (stop == REFUSED), (stop < 0).nonzero().flatten()
        if len(rows):
            codes = self._codes(space, batch[rows], context.seed)
            validated = validated.index_copy(0, rows, space.show(codes, images[rows], labels[rows])[1])
        held = space.held_out
        record = OracleRecord(
            validated=validated,
            searched=stop >= 0,
            accepted=accepted.clamp_min(0),
            stop=stop,
            fooled=result.fooled,
            early=self.early,
            passes=torch.where(asked < 0, len(space.committee), asked),
            held_out=held.approves(result.images, labels) if len(held) else None,
            held_out_clean=held.approves(images, labels) if len(held) else None,
            seconds=result.seconds,
        )
        return [oracle_rows(condition, batch.ids, record)]

    def _ready(
        self, oracle: Oracle, reference: Batch, classes: int, once: Callable[[Hashable, Callable[[], Any]], Any]
    ) -> Self:
        """The search with its oracles and its generator, which are loaded once a run."""
        model, images = oracle.model, reference.to(oracle.device)
        tools = once((self.info.name, "tools", self), lambda: self._load(images, classes, model))
        copy = self.model_copy()
        copy._space = OracleSpace(tools, oracle, self.vote, self.min_confidence)
        return copy

    def _load(self, reference: Batch, classes: int, model: Classifier) -> Tools:
        name, images = self.info.name, reference.images.float()
        given = self._given
        oracles = fit_oracles(given.oracles or load_oracles(self.oracle), self.map, classes, images, name, model)
        if self.together and not oracles:
            raise ParameterError(f"{name}: together={self.together:g} attacks the oracle too: name an oracle")
        if self.together and not all(o.differentiable for o in oracles):
            raise ParameterError(f"{name}: together={self.together:g} needs gradients, which an oracle does not give")
        others = given.held_out or load_oracles(self.held_out)
        held_out = fit_oracles(others, self.held_out_map, classes, images, name, model)
        if given.generator is None:
            space = find_space(self.generator, tv=self.tv, noise=self.noise)
        else:
            space = space_of(given.generator, type(given.generator).__name__, self.noise)
        space = space.to(images.device)
        masked = self.latent_mask == "lasso"
        tried = reference if masked else reference[:2]  # what does not fit is refused before any search
        codes = space.start(tried.images.float(), SampleRng.of(0, name, tried.ids).to(images.device))
        mask = lasso_mask(codes, required(tried.labels), self.penalty, name) if masked else None
        return Tools(space, oracles, held_out, mask)

    def _codes(self, space: OracleSpace, batch: Batch, seed: int) -> Tensor:
        """The codes that the search of samples starts from."""
        rng = SampleRng.of(seed, self.info.name, batch.ids).to(batch.images.device).fold(0)
        return space.space.start(batch.images.float(), rng)

    def _knows_any(self, reference: Batch, context: AttackContext) -> bool:
        """Whether the oracle sees the class in the reconstruction of any of the first images."""
        space = self._search_space()
        by_id = sorted(range(len(reference)), key=reference.ids.__getitem__)
        first = reference[torch.tensor(by_id[:FIRST])].to(context.oracle.device)
        codes = self._codes(space, first, context.seed)
        return bool(space.show(codes, first.images.float(), required(first.labels))[1].any())

    def _search_space(self) -> OracleSpace:
        if self._space is None:
            raise ParameterError(f"{self.info.name}: it is prepared by attack(), not searched for one sample at a time")
        return self._space
