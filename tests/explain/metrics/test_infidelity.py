import pytest
import torch

from unshaken.explain.metrics.infidelity import Infidelity, best_scale

SHARES = [0.4, 0.3, 0.2, 0.1]


@pytest.mark.parametrize("perturbation", ["square", "gaussian"])
@pytest.mark.parametrize("scaled", [True, False])
def test_a_linear_model_is_explained_by_its_weights(additive, perturbation, scaled):
    """On a white image before black the shares of pixels are the weights, so that both readings expect every fall."""
    metric = Infidelity(perturbation=perturbation, scaled=scaled, samples=20, side=0.5, substrate="black")
    assert metric.judge(additive(SHARES)).value.item() == pytest.approx(0, abs=1e-9)


def test_a_wrong_unit_counts_only_without_scaling(additive):
    """The side 1 removes all: the fall is 1, and twice the shares expect 2."""
    case = additive([2 * s for s in SHARES])
    options = {"samples": 3, "side": 1.0, "substrate": "black"}
    assert Infidelity(scaled=False, **options).judge(case).value.item() == pytest.approx(1, abs=1e-6)
    assert Infidelity(**options).judge(case).value.item() == pytest.approx(0, abs=1e-9)


def test_a_map_of_zeros_expects_no_fall(additive):
    assert Infidelity(samples=3, side=1.0, substrate="black").judge(additive([0.0] * 4)).value.item() == pytest.approx(
        1
    )


def test_the_best_scale_by_hand():
    expected, falls = torch.tensor([[1.0, 2], [0, 0]]), torch.tensor([[3.0, 1], [1, 1]])
    assert best_scale(expected, falls).tolist() == [1, 0]
