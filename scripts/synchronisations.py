"""Print how often each method makes the host wait for the device, a step: numbers read, copies, shapes that are data.

    python scripts/synchronisations.py [attack] [certify] [detect] [explain] [harden]

Measured on the simulated device of the tests, with the networks and images of their batteries. A step is one question
to the model for attacks, certificates and maps, one batch for detectors, one optimizer step for training. `ask` counts
what waits while the model answers, `other` all else: the method's own arithmetic, drawing, and what the driver reads.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.battery import test_attributions as maps
from tests.battery import test_contract as contract
from tests.battery import test_detectors as detectors
from tests.battery import test_recipes as recipes
from tests.devices import simulated
from unshaken.core import Oracle
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.harden.engine._processes import Processes
from unshaken.harden.engine.fit import fresh
from unshaken.harden.engine.loop import Loop
from unshaken.run.rows import Context

simulated.load()  # before the first backward pass, when autograd counts the devices
DEVICE = torch.device("simulated:1")


class Steps:
    """Counts questions, and what waits inside them."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts, self.asks, self.inside = counts, 0, 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count while the block runs."""
        ask = Oracle.ask

        def counting(oracle: Oracle, *question: object) -> object:
            before = self.counts["waits"]
            answer = ask(oracle, *question)
            self.asks, self.inside = self.asks + 1, self.inside + self.counts["waits"] - before
            return answer

        Oracle.ask = counting  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            Oracle.ask = ask  # type: ignore[method-assign]


def measured(work: Callable[[], object], steps: int | None = None) -> tuple[int, int, int]:
    """Steps of a work, waits inside them, and other waits."""
    with simulated.available() as counts:
        found = Steps(counts)
        with found.counted():
            before = counts["waits"]
            work()
            waits = counts["waits"] - before
    return steps or found.asks, found.inside, waits - found.inside


def attack(method: object) -> tuple[int, int, int]:
    net = contract.model(1, 4)
    batch = contract.samples((1, 12, 16), 6, net).to(DEVICE)
    net.to(DEVICE)
    norm, radii = contract.budgets(method)[0]
    oracle = Oracle(net)
    return measured(lambda: contract.cheap(method).attack(oracle, batch, norm=norm, eps=radii[-1:], seed=1))


def certify(method: object) -> tuple[int, int, int]:
    net = contract.model(1, 4).to(DEVICE)
    batch = contract.samples((1, 12, 16), 6).to(DEVICE)
    batch = contract.Batch(batch.images, torch.zeros(6, dtype=torch.int64, device=DEVICE), batch.ids)
    built, oracle = contract.cheap(method), Oracle(net)
    context = Context(oracle, 1, oracle.exact(batch.images), lambda: batch)
    return measured(lambda: built.evaluate(batch, contract.conditions_of(method, built), context))


def explain(name: str) -> tuple[int, int, int]:
    images = torch.rand(4, 3, 18, 14).to(DEVICE)
    net = maps.make_net(name).to(DEVICE)
    return measured(lambda: maps.attribute(net, images, maps.named(name)))


def detect(method: object) -> tuple[int, int, int]:
    values = {"n_bits": 4} if method.name == "dct" else {}
    model = detectors.classifier(3, 4)
    with simulated.available():
        found = detectors.fitted(copy.deepcopy(model), method.cls(**values), n=240, device=str(DEVICE))
    images = detectors.normal(6).to(DEVICE)
    return measured(lambda: found.score(images), steps=1)


def harden(method: object) -> tuple[int, int, int]:
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
        loop._begin()
        total = [0]
        descend = loop._descend
        with simulated.available() as counts:

            def counting(step: object) -> None:
                before = counts["waits"]
                descend(step)
                total[0] += counts["waits"] - before

            loop._descend = counting  # type: ignore[method-assign, assignment]
            loop.train()
    steps = loop.progress.number
    return steps, total[0], 0


ROOMS: dict[str, tuple[Callable[..., tuple[int, int, int]], list[object]]] = {
    "attack": (attack, contract.ATTACK),
    "certify": (certify, [m for m in contract.RUNNABLE if m.room == "certify"]),
    "explain": (explain, maps.NAMES),
    "detect": (detect, [m for m in detectors.OURS if m.name not in ("mcm", "ensemble", "policy-heads")]),
    "harden": (harden, recipes.RECIPES),
}


def main() -> None:
    print("| room | method | steps | waits inside a step | other waits a step |")
    print("|---|---|---|---|---|")
    for room in sys.argv[1:] or ROOMS:
        measure, methods = ROOMS[room]
        for method in methods:
            try:
                steps, inside, other = measure(method)
            except Exception as error:
                print(f"| {room} | {getattr(method, 'name', method)} | {type(error).__name__}: {error} | | |")
                continue
            name = getattr(method, "name", method)
            print(f"| {room} | {name} | {steps} | {inside / max(1, steps):.1f} | {other / max(1, steps):.1f} |")


if __name__ == "__main__":
    main()
