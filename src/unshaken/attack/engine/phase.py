"""`Phase` and `PhaseRecord`: what an attack will run, one search after the other, and what each of them bought."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.flag import FlagKind
from unshaken.core.oracle import Oracle

if TYPE_CHECKING:
    from unshaken.attack.engine.base import Attack

ZERO_GRADIENT = FlagKind(
    "zero-gradient",
    "the input gradient is exactly zero, so gradient attacks are blind",
    "Do not use the accuracy under gradient attacks. Return logits, remove what blocks gradients, or add "
    "an attack that needs none.",
)


@dataclass(frozen=True, slots=True)
class AttackContext:
    """What an attack knows before it chooses its phases; the same for every shard of a run.

    Args:
        oracle: runs the model and counts its passes.
        norm: of the budget.
        eps: the largest budget, in [0, 1] pixel units under the norm.
        classes: K.
        seed: the run seed.
        reference: the run's first samples, the same whatever the part of the run; outside a run those attacked.
        samples: in the whole run; 0 outside a run.
        once: `once(key, make)` returns what `make` made at the run's first call with this key; see
            `unshaken.core.context.Context`.
    """

    oracle: Oracle
    norm: str
    eps: float
    classes: int
    seed: int
    reference: Batch | None = None
    samples: int = 0
    once: Callable[[Hashable, Callable[[], Any]], Any] = field(default=lambda key, make: make(), repr=False)


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of an attack: a search on the samples that are not yet broken.

    Args:
        search: the method.
        name: what rows and reports call it.
        restart: number of the run from a fresh random start.
        why: the reason for this choice, for a person.
        precision: of the search, `fp32` or `bf16`; None for the oracle's own.
        draws: passes averaged, and passes of which most must be fooled; None for the oracle's own.
        surrogate: searched in the place of the model; what is found there is judged on the model.
        avoid_rejection: whether the search stays clear of a model's rejections, or lets the last look see to them.
        skip: left out; `why` says so.
    """

    search: Attack[Any]
    name: str
    restart: int = 0
    why: str = ""
    precision: str | None = None
    draws: int | None = None
    surrogate: Classifier | None = None
    avoid_rejection: bool = True
    skip: bool = False

    @property
    def gradients(self) -> bool:
        """Whether it follows the model's own gradients."""
        return "gradient" in self.search.info.needs and self.surrogate is None


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """Record of one phase: samples broken, and cost.

    Args:
        attack: the stage's name.
        why: the reason for this choice.
        gradients: whether it follows the model's own gradients.
        standing: samples not broken before it.
        broken: by it.
        forwards: passes spent.
        backwards: as `forwards`.
        seconds: wall time.
    """

    attack: str
    why: str
    gradients: bool
    standing: int
    broken: int
    forwards: int
    backwards: int
    seconds: float
