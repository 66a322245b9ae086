import pytest
import torch

from unshaken.explain.engine.run import attribute

FIRST = torch.tensor([0])


@pytest.mark.parametrize(
    ("way", "map", "total"),
    [
        ("steps=4", (7.875, 3.9375), 11.8125),
        ("steps=16", None, 11.98828125),
        ("steps=64", None, 11.999267578125),
        ("steps=16,rule=right", None, 13.1484375),
    ],
)
def test_the_cards_sums(formula, way, map, total):
    """f = x1^2 x2 at (2, 3) from 0: the integral is (8, 4), of sum 12."""
    net = formula(lambda x: x[:, 0] ** 2 * x[:, 1])
    found = attribute(net, torch.tensor([[[[2.0, 3]]]]), f"integrated-gradients:{way}", classes=FIRST)
    assert found.maps.sum().item() == pytest.approx(total, rel=1e-6)
    assert map is None or found.maps.flatten().tolist() == pytest.approx(map, rel=1e-6)
    assert found.error.item() == pytest.approx(abs(total - 12), abs=1e-5)


def test_of_a_linear_logit_it_is_exact_from_any_baseline(formula):
    net = formula(lambda x: x[:, 0] - 2 * x[:, 1] + 3 * x[:, 2])
    point = torch.tensor([[[[0.5, 0.25, 1]]]])
    for baseline, expected in (("black", [0.5, -0.5, 3]), ("white", [-0.5, 1.5, 0]), ("grey", [0, 0.5, 1.5])):
        found = attribute(net, point, f"integrated-gradients:steps=3,baseline={baseline}", classes=FIRST)
        assert found.maps.flatten().tolist() == pytest.approx(expected, abs=1e-6)
        assert found.error.item() < 1e-5
