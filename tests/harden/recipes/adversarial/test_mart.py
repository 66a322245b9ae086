from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.compose import Composition
from unshaken.harden.recipes.adversarial.mart import Mart, mart_loss


@pytest.mark.parametrize(("beta", "wanted"), [(5.0, 2.492481), (6.0, 2.591013)])
def test_the_loss_at_known_logits(card, beta, wanted):
    assert mart_loss(card.clean, card.adversarial, card.labels, beta).item() == pytest.approx(wanted, abs=3e-6)


def test_its_two_terms(card):
    bce = mart_loss(card.clean, card.adversarial, card.labels, 0.0).item()
    assert bce == pytest.approx(1.999821, abs=3e-6)
    weighted = mart_loss(card.clean, card.adversarial, card.labels, 1.0).item() - bce
    assert weighted == pytest.approx(0.098532, abs=3e-6)


def test_sure_and_wrong_stays_finite():
    far = torch.tensor([[200.0, -200, 0]])
    assert torch.isfinite(mart_loss(far, far, torch.tensor([1]), 5.0))


def test_mixed_labels_are_refused():
    class Mixes(Mart):
        takes = frozenset({"targets"})

    Mixes.info = Mart.info.__class__("mixes", "harden", Mixes, "none")
    with pytest.raises(ParameterError, match="'mart' does not go with 'mixes'"):
        Composition([Mart(), Mixes()])
