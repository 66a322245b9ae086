"""Maximum softmax probability at a fitted temperature."""

import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.msp import MSP
from unshaken.detect.scores.temperature_scaling import TemperatureScaling


def held_out(anatomy, logits, labels):
    return FitData(anatomy, tune=ForwardPass(anatomy, logits, labels=labels))


def test_the_temperature_that_fits_four_samples(anatomy):
    # three of four right at a margin of 4: softmax(4 / T) must be 3/4, so that T = 4 / ln 3
    logits = torch.tensor([[4.0, 0]] * 4)
    method = TemperatureScaling()
    bank = method.fit(held_out(anatomy, logits, torch.tensor([0, 0, 0, 1])))
    assert bank["temperature"].item() == pytest.approx(4 / torch.tensor(3.0).log().item(), rel=1e-6)
    assert method.score(ForwardPass(anatomy, logits), bank).tolist() == pytest.approx([0.25] * 4, abs=1e-6)


def test_it_is_msp_of_divided_logits(anatomy):
    logits = torch.randn(30, 4) * 5
    bank = {"temperature": torch.tensor(2.5, dtype=torch.float64)}
    expected = MSP().score(ForwardPass(anatomy, logits.double() / 2.5), {})
    assert torch.allclose(TemperatureScaling().score(ForwardPass(anatomy, logits), bank), expected, atol=1e-12)


@pytest.mark.parametrize(("labels", "temperature"), [([0, 0], 0.1), ([1, 1], 10)])
def test_without_an_optimum_the_temperature_stays_usable(anatomy, labels, temperature):
    logits = torch.tensor([[4.0, 0], [8, 0]])
    bank = TemperatureScaling().fit(held_out(anatomy, logits, torch.tensor(labels)))
    assert bank["temperature"].item() == temperature
    first, second = TemperatureScaling().score(ForwardPass(anatomy, logits), bank)
    assert first > second > 0


def test_without_labels_it_says_so(anatomy):
    with pytest.raises(DataError, match="temperature-scaling: the held-out samples have no labels"):
        TemperatureScaling().fit(held_out(anatomy, torch.zeros(3, 2), None))
