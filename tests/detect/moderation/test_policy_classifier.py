"""A guard as a classifier of two classes: logits and no probabilities."""

import pytest
import torch

from unshaken.detect.moderation.policy_classifier import FromProbability, two_logits


def test_a_wrapper_gives_logits_and_no_probabilities():
    p = torch.tensor([0.001, 0.3, 0.5, 0.731, 0.999])
    wrapper = FromProbability(lambda images: images.mean((1, 2, 3)))
    images = p.view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    assert torch.allclose(wrapper(images).softmax(1)[:, 1], p, atol=1e-5)
    assert torch.tensor([0.0, 1.0]).softmax(0)[1].item() == pytest.approx(0.7311, abs=1e-4)  # what must not happen
    at = FromProbability(lambda images: images.mean((1, 2, 3)), threshold=0.7)
    assert at(images).argmax(1).tolist() == [0, 0, 0, 1, 1]
    assert torch.allclose(two_logits(torch.tensor([2.0])).softmax(1)[0, 1], torch.tensor(2.0).sigmoid())
