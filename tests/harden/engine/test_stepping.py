"""Steps and epochs of the loop: their figures, when the state is kept, and what is checked when."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from unshaken.core.errors import ParameterError, RunError
from unshaken.core.registry import Method
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training


class Numbered(Recipe):
    """Its loss is the number of the step; it notes how much of the run is done."""

    shares: ClassVar[list[float]] = []
    times: int = 1

    @property
    def replays(self):
        return self.times

    def loss(self, step):
        self.shares.append(step.share)
        step.figures["double"] = 2 * step.number
        return step.number + 0 * step.model(step.images).sum()


Numbered.info = Method("numbered", "harden", Numbered, "none")


@pytest.mark.parametrize(
    ("times", "losses", "number"), [(1, [1.5, 5.5], [4, 8]), (2, [3.5, 11.5], [8, 16])], ids=["once", "twice"]
)
def test_an_epochs_record_is_of_its_own_steps(times, losses, number, photos, net):
    """Four batches of 40; rates fall linearly, and a step has that of its middle."""
    Numbered.shares.clear()
    training = Training(epochs=2, batch_size=40, check_images=8, schedule="linear", lr=0.1, held_out=40)
    progress = fit(net(), *photos, [Numbered(times=times)], training).progress
    assert [c["loss"] for c in progress.curves] == pytest.approx(losses)
    assert [c["double"] for c in progress.curves] == pytest.approx([2 * x for x in losses])
    total = 8 * times
    assert [c["lr"] for c in progress.curves] == pytest.approx([0.1 * (1 - (number[0] + 0.5) / total), 0])
    assert Numbered.shares == pytest.approx([i / total for i in range(total)])
    assert [c["forwards"] for c in progress.curves] == [40 * n for n in number]
    assert progress.number == total


@pytest.mark.parametrize(
    ("times", "every", "saves"),
    [
        (1, 2, [(0, 2), (1, 0), (1, 2), (2, 0)]),
        (1, 200, [(1, 0), (2, 0)]),
        (2, 3, [(0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (2, 0)]),  # after 4, 6, 10 and 12 steps, two a batch
    ],
)
def test_the_state_is_kept_every_so_many_steps_and_after_each_epoch(times, every, saves, photos, net):
    training = Training(epochs=2, batch_size=40, check_images=8, save_every=every)
    loop, found = Loop(net(), Samples.of(*photos, 10), [Numbered(times=times)], training), []
    loop._save = lambda: found.append((loop.progress.epoch, loop.progress.batch))
    loop.train()
    assert found == saves


@pytest.mark.parametrize(("every", "checked"), [(1, [1, 1, 1]), (2, [0, 1, 1]), (5, [0, 0, 1])])
def test_checks_are_made_every_so_many_epochs_and_at_the_end(every, checked, photos, net):
    training = Training(epochs=3, batch_size=80, check_images=8, check_every=every)
    curves = fit(net(), *photos, [], training).progress.curves
    assert ["held_accuracy" in c for c in curves] == checked


def made(photos, net, processes=None, **options):
    return Loop(net(), Samples.of(*photos, 10), [], Training(check_images=8, **options), processes=processes)


def test_weights_may_lose_what_is_allowed_and_no_more(photos, net):
    loop = made(photos, net, max_clean_loss=0.1)
    assert loop._allowed({"held_accuracy": 0.0})  # no figure of the start
    loop.progress.start = {"held_accuracy": 0.8}
    assert [loop._allowed({"held_accuracy": a}) for a in (0.9, 0.8 - 0.1, 0.69)] == [True, True, False]
    free = made(photos, net)
    free.progress.start = {"held_accuracy": 0.8}
    assert free._allowed({"held_accuracy": 0.1})


def test_the_remark_beside_the_bar(photos, net):
    loop = made(photos, net)
    assert loop._note() == "loss 0.000"
    loop.progress.losses = (3.0, 2)
    loop.progress.curves = [{"held_accuracy": 0.9}, {"held_accuracy": 0.5, "held_robust": 0.25}]
    loop.progress.flags = {"doubt": "why"}
    assert loop._note() == "loss 1.500, held-out 50.0%, robust 25.0%, doubt"


def test_batches_are_shared_by_processes_and_no_larger_than_the_data(photos, net):
    assert (made(photos, net, batch_size=1000).size, made(photos, net, batch_size=1000).steps) == (160, 1)
    assert made(photos, net, batch_size=2).size == 2
    two = SimpleNamespace(world=2, rank=0)
    assert (made(photos, net, two, batch_size=32).size, made(photos, net, two, batch_size=32).steps) == (16, 5)
    assert made(photos, net, two, batch_size=1000).size == 80
    with pytest.raises(ParameterError, match="batch size 33 does not divide among 2 processes"):
        made(photos, net, two, batch_size=33)
    assert len(made(photos, net).check.trained) == 4
    assert len(made(photos, net).check.held) == 40


def test_the_gradient_is_clipped(photos, net):
    start = net(norm=False)
    before = torch.cat([p.detach().flatten().clone() for p in start.parameters()])
    training = Training(
        epochs=1, batch_size=160, check_images=8, clip=1e-3, lr=0.5, momentum=0, weight_decay=0, schedule="constant",
        channels_last=False,
    )  # fmt: skip
    after = fit(start, *photos, [], training).last
    change = torch.cat([p.detach().flatten() for p in after.parameters()]) - before
    assert float(change.norm()) == pytest.approx(0.5 * 1e-3, rel=1e-2)


def test_running_statistics_that_are_no_numbers_are_refused(photos, net):
    class Spoils(Recipe):
        def after_step(self, step):
            if step.number == 3:
                step.classifier.net[1].running_var.fill_(math.inf)

    Spoils.info = Method("spoils", "harden", Spoils, "none")
    with pytest.raises(RunError, match=r"the weights '1\.running_var' became infinite or NaN at epoch 1"):
        fit(net(), *photos, [Spoils()], Training(epochs=1, batch_size=40, check_images=8))
