"""Steps and epochs of the loop: their figures, when the state is kept, and what is checked when."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch

from unshaken.core.errors import ParameterError, RunError
from unshaken.core.registry import Method
from unshaken.data.resident import Samples, order
from unshaken.harden.engine import _stepping
from unshaken.harden.engine._stepping import TrainingBatches, drawn_for_step
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
    assert loop._keeps_accuracy({"held_accuracy": 0.0})  # no figure of the start
    loop.progress.start = {"held_accuracy": 0.8}
    assert [loop._keeps_accuracy({"held_accuracy": a}) for a in (0.9, 0.8 - 0.1, 0.69)] == [True, True, False]
    free = made(photos, net)
    free.progress.start = {"held_accuracy": 0.8}
    assert free._keeps_accuracy({"held_accuracy": 0.1})


def test_the_remark_beside_the_bar(photos, net):
    loop = made(photos, net)
    assert loop._progress_text() == "loss 0.000"
    loop.progress.losses = (3.0, 2)
    loop.progress.curves = [{"held_accuracy": 0.9}, {"held_accuracy": 0.5, "held_robust": 0.25}]
    loop.progress.flags = {"doubt": "why"}
    assert loop._progress_text() == "loss 1.500, held-out 50.0%, robust 25.0%, doubt"


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


CPU = torch.device("cpu")


@pytest.fixture
def samples():
    images = torch.arange(22 * 3 * 2 * 2).remainder(251).to(torch.uint8).view(22, 3, 2, 2)
    return Samples.of(images, torch.arange(22) % 2, 2)


def batches_of(samples, *, size=3, world=1, rank=0, channels_last=False):
    processes = SimpleNamespace(world=world, rank=rank)
    return TrainingBatches(samples, np.arange(2, 22), 5, size, processes, channels_last)


def rows(batches, **options):
    given = {"skip": 0, "steps": batches.steps, "weights": None, **options}
    return [part.tolist() for part, _, _ in batches.epoch(1, "order", CPU, **given)]


def test_processes_share_each_step_of_the_order(samples):
    wanted = order(np.arange(2, 22), 5, 1, "order")[:18].reshape(3, 2, 3)
    for rank in (0, 1):
        batches = batches_of(samples, world=2, rank=rank)
        assert batches.steps == 3  # of 20 samples, 6 a step
        assert rows(batches) == wanted[:, rank].tolist()
        assert rows(batches, skip=2) == wanted[2:, rank].tolist()
    assert batches_of(samples, size=99).steps == 1


def test_images_and_labels_are_those_of_the_rows(samples):
    for channels_last in (False, True):
        batches = batches_of(samples, channels_last=channels_last)
        part, images, labels = next(batches.epoch(0, "order", CPU, skip=0, steps=6, weights=None))
        assert torch.equal(images, samples.resident[part].float() / 255)
        assert torch.equal(labels, part % 2)
        assert images.is_contiguous(memory_format=torch.channels_last) is channels_last


def test_all_come_in_their_order_and_a_few_from_the_seed(samples, monkeypatch):
    monkeypatch.setattr(_stepping, "EVALUATED", 8)
    batches = batches_of(samples)
    assert [part.tolist() for part, _, _ in batches.all(CPU)] == [[*range(2, 10)], [*range(10, 18)], [*range(18, 22)]]
    images, labels = batches.some(4, CPU)
    few = torch.from_numpy(order(np.arange(2, 22), 5, 0, "sample")[:4])
    assert torch.equal(images, samples.resident[few].float() / 255)
    assert torch.equal(labels, few % 2)


def test_draws_of_a_step_hang_on_seed_step_and_process_alone():
    def drawn_at(*place):
        with drawn_for_step(*place, torch.device("cpu")):
            return torch.rand(3).tolist()

    before = torch.get_rng_state()
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    found = [tuple(drawn_at(*place)) for place in places]
    assert len(set(found)) == 4
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert [tuple(drawn_at(*place)) for place in places] == found
