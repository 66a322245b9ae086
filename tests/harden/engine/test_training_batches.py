"""Batches of an epoch: shared among processes, gone on with after a stop, and all samples in their order."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unshaken.data.resident import Samples, order
from unshaken.harden.engine import _training_batches as batches_file
from unshaken.harden.engine._training_batches import TrainingBatches

CPU = torch.device("cpu")


@pytest.fixture
def samples():
    images = torch.arange(22 * 3 * 2 * 2).remainder(251).to(torch.uint8).view(22, 3, 2, 2)
    return Samples.of(images, torch.arange(22) % 2, 2)


def made(samples, *, size=3, world=1, rank=0, channels_last=False):
    processes = SimpleNamespace(world=world, rank=rank)
    return TrainingBatches(samples, np.arange(2, 22), 5, size, processes, channels_last)


def rows(batches, **options):
    given = {"skip": 0, "steps": batches.steps, "weights": None, **options}
    return [part.tolist() for part, _, _ in batches.epoch(1, "order", CPU, **given)]


def test_processes_share_each_step_of_the_order(samples):
    wanted = order(np.arange(2, 22), 5, 1, "order")[:18].reshape(3, 2, 3)
    for rank in (0, 1):
        batches = made(samples, world=2, rank=rank)
        assert batches.steps == 3  # of 20 samples, 6 a step
        assert rows(batches) == wanted[:, rank].tolist()
        assert rows(batches, skip=2) == wanted[2:, rank].tolist()
    assert made(samples, size=99).steps == 1


def test_images_and_labels_are_those_of_the_rows(samples):
    for channels_last in (False, True):
        batches = made(samples, channels_last=channels_last)
        part, images, labels = next(batches.epoch(0, "order", CPU, skip=0, steps=6, weights=None))
        assert torch.equal(images, samples.resident[part].float() / 255)
        assert torch.equal(labels, part % 2)
        assert images.is_contiguous(memory_format=torch.channels_last) is channels_last


def test_all_come_in_their_order_and_a_few_from_the_seed(samples, monkeypatch):
    monkeypatch.setattr(batches_file, "EVALUATED", 8)
    batches = made(samples)
    assert [part.tolist() for part, _, _ in batches.all(CPU)] == [[*range(2, 10)], [*range(10, 18)], [*range(18, 22)]]
    images, labels = batches.some(4, CPU)
    few = torch.from_numpy(order(np.arange(2, 22), 5, 0, "sample")[:4])
    assert torch.equal(images, samples.resident[few].float() / 255)
    assert torch.equal(labels, few % 2)
