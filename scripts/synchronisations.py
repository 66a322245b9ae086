"""Print how often each method makes the host wait for the device, a step: numbers read, copies, shapes that are data.

    python scripts/synchronisations.py [attack] [certify] [detect] [explain] [harden]

Measured on the simulated device of the tests, with the networks and images of their batteries. A step is one question
to the model for attacks, certificates and maps, one batch for detectors, one optimizer step for training. Waits of a
step are those while the model answers and those until the next question (the method's arithmetic, its draws, and what
the driver decides), each the median over the steps; all others are of the beginning and the end.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch

from unshaken.run.adapters import rows_of

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.battery import test_attributions as maps
from tests.battery import test_contract as contract
from tests.battery import test_detectors as detectors
from tests.battery import test_recipes as recipes
from tests.devices import simulated
from unshaken.core import Oracle
from unshaken.core.context import Context
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.harden.engine._processes import Processes
from unshaken.harden.engine.fit import fresh
from unshaken.harden.engine.loop import Loop

simulated.load()  # before the first backward pass, when autograd counts the devices
DEVICE = torch.device("simulated:1")


@dataclass
class Waits:
    """What a work waited for: in all, inside each step, and from each step to the next."""

    total: int = 0
    inside: list[int] = field(default_factory=list)
    between: list[int] = field(default_factory=list)

    def row(self) -> str:
        """Steps, waits a step inside and after, and the rest."""
        rest = self.total - sum(self.inside) - sum(self.between)
        inside, between = (median(values) if values else 0 for values in (self.inside, self.between))
        return f"{len(self.inside)} | {inside:g} | {between:g} | {rest}"


@contextmanager
def watched(owner: type | object, name: str, counts: Mapping[str, int]) -> Iterator[Waits]:
    """Count the waits in and between calls of a function, which are the steps of a work."""
    found, step, ended, begin = Waits(), getattr(owner, name), list[int](), counts["waits"]

    def counting(*given: object) -> object:
        before = counts["waits"]
        if ended:
            found.between.append(before - ended[-1])
        answer = step(*given)
        ended.append(counts["waits"])
        found.inside.append(ended[-1] - before)
        return answer

    setattr(owner, name, counting)
    try:
        yield found
    finally:
        setattr(owner, name, step)
        found.total = counts["waits"] - begin


def measured(work: Callable[[], object]) -> Waits:
    """The waits of a work that asks a model."""
    with simulated.available() as counts, watched(Oracle, "ask", counts) as found:
        work()
    return found


def attack(method: object) -> Waits:
    net = contract.model(1, 4)
    batch = contract.samples((1, 12, 16), 6, net).to(DEVICE)
    net.to(DEVICE)
    norm, radii = contract.budgets(method)[0]
    oracle = Oracle(net)
    return measured(lambda: contract.cheap(method).attack(oracle, batch, norm=norm, eps=radii[-1:], seed=1))


def certify(method: object) -> Waits:
    net = contract.model(1, 4).to(DEVICE)
    batch = contract.samples((1, 12, 16), 6).to(DEVICE)
    batch = contract.Batch(batch.images, torch.zeros(6, dtype=torch.int64, device=DEVICE), batch.ids)
    built, oracle = contract.cheap(method), Oracle(net)
    context = Context(oracle, 1, oracle.exact(batch.images), lambda: batch)
    return measured(lambda: rows_of(built, batch, contract.conditions_of(method, built), context))


def explain(name: str) -> Waits:
    images = torch.rand(4, 3, 18, 14).to(DEVICE)
    net = maps.make_net(name).to(DEVICE)
    return measured(lambda: maps.attribute(net, images, maps.named(name)))


def detect(method: object) -> Waits:
    values = {"n_bits": 4} if method.name == "dct" else {}
    model = detectors.classifier(3, 4)
    with simulated.available():
        found = detectors.fitted(copy.deepcopy(model), method.cls(**values), n=240, device=str(DEVICE))
    images = detectors.normal(6).to(DEVICE)
    with simulated.available() as counts, watched(found, "score", counts) as waits:
        found.score(images)
    return waits


def harden(method: object) -> Waits:
    recipe = recipes.cheap(method)
    samples = Samples(load_data("demo"), None, 10, limit=40)
    images, labels = samples.resident, samples.labels[torch.from_numpy(samples.good)]
    images = images if "demo" in str(method.cls.first_try) else images[..., ::2, ::2].contiguous()
    labels = recipes.labels_for(method, images, labels)
    training = recipes.TRAINING.model_copy(update={"epochs": 1, "save_every": 100})
    with simulated.available():
        model = recipe.rebuild(fresh(recipe.first_try.arch, images, classes=10, seed=0)).to(DEVICE)
        processes = Processes(device=str(DEVICE))
        loop = Loop(model, Samples.of(images, labels, 10), recipes.together(recipe), training, processes=processes)
        with simulated.available() as counts, watched(loop, "_descend", counts) as found:
            loop.train()
    return found


ROOMS: dict[str, tuple[Callable[..., Waits], list[object]]] = {
    "attack": (attack, contract.ATTACK),
    "certify": (certify, [m for m in contract.RUNNABLE if m.room == "certify"]),
    "explain": (explain, maps.NAMES),
    "detect": (detect, [m for m in detectors.OURS if m.name not in ("mcm", "ensemble", "policy-heads")]),
    "harden": (harden, recipes.RECIPES),
}


def main() -> None:
    print("| room | method | steps | waits inside a step | waits until the next | at the beginning and the end |")
    print("|---|---|---|---|---|---|")
    for room in sys.argv[1:] or ROOMS:
        measure, methods = ROOMS[room]
        for method in methods:
            print(f"| {room} | {getattr(method, 'name', method)} | {measure(method).row()} |", flush=True)


if __name__ == "__main__":
    main()
