"""ADP's two terms by hand, and a run."""

from __future__ import annotations

import pytest
import torch

from unshaken.core import Classifier
from unshaken.core.errors import ParameterError
from unshaken.harden.engine.ensemble import members_of
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.ensembles.adp import ADP, adp_entropy, adp_log_diversity
from unshaken.models.networks.small import SmallNet

ROWS = torch.tensor([[[0.7, 0.2, 0.1]], [[0.6, 0.1, 0.3]]])


def test_by_hand():
    assert float(adp_log_diversity(ROWS.double(), torch.tensor([0]))) == pytest.approx(-0.693143, abs=1e-6)
    assert float(adp_entropy(ROWS)) == pytest.approx(0.886464, abs=1e-6)


def test_the_true_class_is_left_out_for_each_sample():
    rows = torch.cat([ROWS, ROWS.flip(2)], 1).double()
    both = adp_log_diversity(rows, torch.tensor([0, 2]))
    assert float(both) == pytest.approx(-0.693143, abs=1e-6)


def test_it_trains_to_more_diverse_wrong_classes():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 4
    images = torch.randint(0, 60, (64, 1, 8, 8), generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 2 * label : 2 * label + 2] += 150
    training = Training(
        epochs=6, batch_size=16, lr=1e-3, optimizer="adam", held_out=4, check_images=4, select="last", check_every=6
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Classifier(SmallNet(classes=4, channels=1, side=8), mean=[0.3], std=[0.3])
    found = {}
    for beta in (0.0, 0.5):
        fitted = fit(
            Classifier(SmallNet(classes=4, channels=1, side=8), mean=[0.3], std=[0.3]) if beta is None else _copy(net),
            images.to(torch.uint8), labels, [ADP(members=2, alpha=0.0, beta=beta)], training,
        )  # fmt: skip
        with torch.no_grad():
            seen = torch.stack([m(images.float() / 255).softmax(1) for m in members_of(fitted.last)])
        found[beta] = float(adp_log_diversity(seen.double(), labels))
    assert found[0.5] > found[0.0] + 0.1


def _copy(net):
    import copy

    return copy.deepcopy(net)


def test_bad_input():
    with pytest.raises(ParameterError, match="alpha"):
        ADP(alpha=-1.0)


def test_the_entropy_of_certain_members_has_a_gradient():
    logits = (torch.tensor([[[300.0, 0.0, -10.0]]]) * torch.ones(3, 1, 1)).requires_grad_()
    entropy = adp_entropy(logits.softmax(2))
    entropy.backward()
    assert entropy.item() == 0
    assert logits.grad.isfinite().all()
