"""Recipes together: what goes with what, and each hook over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor

from unshaken.attack.engine.ball import check_budget_size
from unshaken.core.errors import ParameterError
from unshaken.harden.engine.recipe import Memory, Recipe, Step, Threat

MEANING = {
    "inner": "an inner search",
    "loss": "a loss",
    "targets": "mixed labels",
    "views": "further views with a loss of their own",
    "weights": "moved weights",
    "average": "an average of the weights",
    "layer": "a layer's own gradient",
    "net": "another network",
    "sampling": "weights of the samples",
}
"""What a recipe may take, in words."""


def check_recipe_budgets(recipes: Iterable[Recipe], numbers: int | None, *, allow: bool) -> None:
    """Refuse budgets of recipes that are no sensible change of pixels in [0, 1]; see `check_budget_size`.

    Args:
        recipes: of a training.
        numbers: in an image, C x H x W; None where that is not known yet.
        allow: leave them where the user allows it.

    Raises:
        ParameterError: one is too large.
    """
    for recipe in recipes:
        for budget in recipe.budgets:
            check_budget_size(recipe.info.name, budget.norm, budget.eps, numbers, allow=allow)


class Composition:
    """Recipes that were checked against one another.

    Args:
        recipes: in the order in which their hooks run.

    Raises:
        ParameterError: two of them do the same thing, or one makes no sense beside another.
    """

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        self.recipes = tuple(recipes)
        taken: dict[str, str] = {}
        names = [r.info.name for r in recipes]
        for recipe in recipes:
            name = recipe.info.name
            if names.count(name) > 1:
                raise ParameterError(f"recipe {name!r} is given {names.count(name)} times: give it once")
            for kind in sorted(recipe.takes):
                if kind in taken:
                    raise ParameterError(
                        f"recipes {taken[kind]!r} and {name!r} both bring {MEANING[kind]}: choose one of them"
                    )
                taken[kind] = name
        for recipe in recipes:
            for kind, why in recipe.refuses.items():
                if taken.get(kind, recipe.info.name) != recipe.info.name:
                    raise ParameterError(f"recipe {recipe.info.name!r} does not go with {taken[kind]!r}: {why}")
        self.taken = taken

    def check_labels(self, kind: str) -> None:
        """Refuse recipes that do not learn from such labels.

        Args:
            kind: `CLASSES`, `MASKS` or `UNLABELLED`.

        Raises:
            ParameterError: a recipe learns from the other kind alone.
        """
        for recipe in self.recipes:
            if kind not in recipe.learns_from:
                known = " or ".join(sorted(recipe.learns_from))
                raise ParameterError(
                    f"recipe {recipe.info.name!r} learns from {known}, and the data has {kind}: choose another "
                    "recipe, or other data"
                )

    @property
    def threat(self) -> Threat | None:
        """The first recipe's that has one."""
        return next((r.threat for r in self.recipes if r.threat is not None), None)

    @property
    def replays(self) -> int:
        """Optimizer steps on each batch."""
        return max((r.replays for r in self.recipes), default=1)

    def sampling(self, memory: Mapping[str, Memory]) -> Tensor | None:
        """Weights of the samples `[samples]`, where a recipe has some."""
        found = (r.sampling(memory[r.info.name]) for r in self.recipes)
        return next((weights for weights in found if weights is not None), None)

    def prepare(self, step: Step) -> None:
        """Augment the batch by each recipe in order."""
        for recipe in self.recipes:
            recipe.augment(step)

    def search(self, step: Step) -> None:
        """Find adversarial images by the recipe that has an inner search, if any."""
        for recipe in self.recipes:
            found = recipe.inner(step)
            if found is not None:
                step.adversarial = found

    def loss(self, step: Step, smoothing: float) -> Tensor:
        """The sum of the one loss and all penalties."""
        losses = [v for r in self.recipes if (v := r.loss(step)) is not None]
        total = losses[0] if losses else step.cross_entropy(step.model(step.shown), smoothing=smoothing)
        for recipe in self.recipes:
            more = recipe.penalty(step)
            if more is not None:
                total = total + more
        return total

    @contextmanager
    def around(self, step: Step, loss: Callable[[], Tensor]) -> Iterator[None]:
        """Enter the `around` of all recipes."""
        with ExitStack() as stack:
            for recipe in self.recipes:
                stack.enter_context(recipe.around(step, loss))
            yield

    def after_step(self, step: Step) -> None:
        """Call `after_step` of each recipe in order."""
        for recipe in self.recipes:
            recipe.after_step(step)

    def kept(self, memory: Mapping[str, Memory]) -> Mapping[str, Tensor] | None:
        """The state dict to measure and keep, where a recipe has one."""
        found = (r.kept(memory[r.info.name]) for r in self.recipes)
        return next((weights for weights in found if weights is not None), None)
