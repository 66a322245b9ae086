import pytest
import torch

from unshaken.explain.engine.metric import make_case
from unshaken.explain.metrics.road import ROAD, impute


def test_a_linear_image_is_imputed_as_it_is():
    """The weights are symmetric, so a plane fulfils the equations wherever the border is not missing."""
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    image = torch.stack([0.1 * rows + 0.02 * columns, 1 - 0.1 * columns])
    missing = torch.zeros(6, 7, dtype=torch.bool)
    missing[1:4, 2:6] = True
    found = impute(torch.where(missing, 7.0, image), missing)
    torch.testing.assert_close(found, image, rtol=0, atol=1e-6)


def test_a_corner_by_hand():
    """The corner has two direct neighbours, 1/6 each, and a diagonal one, 1/12: `(0.3 + 0.6) 2/5 + 0.9 / 5`."""
    image = torch.tensor([[[0.0, 0.3], [0.6, 0.9]]])
    found = impute(image, torch.tensor([[True, False], [False, False]]))
    assert found[0, 0, 0].item() == pytest.approx(0.4 * 0.3 + 0.4 * 0.6 + 0.2 * 0.9, abs=1e-6)


def test_quantus_puts_in_the_same():
    """Numbers of `quantus.functions.perturb_func.noisy_linear_imputation` 0.6.0 with noise=0, float64."""
    places = torch.arange(16, dtype=torch.float64)
    image = torch.stack([places**2 / 256, places.cos()]).view(2, 4, 4)
    gone = [0, 1, 5, 6, 10, 15]
    missing = torch.zeros(16, dtype=torch.bool)
    missing[gone] = True
    found = impute(image, missing.view(4, 4)).flatten(1)[:, gone]
    assert found[0].tolist() == pytest.approx([0.106349, 0.111227, 0.18429, 0.214786, 0.42967, 0.581247], abs=1e-6)
    expected = [-0.544214, -0.469391, -0.475001, -0.230764, -0.064292, 0.043607]
    assert found[1].tolist() == pytest.approx(expected, abs=1e-6)


def test_nothing_and_everything_missing():
    image = torch.rand(3, 4, 4)
    assert torch.equal(impute(image, torch.zeros(4, 4, dtype=torch.bool)), image)
    assert not impute(image, torch.ones(4, 4, dtype=torch.bool)).any()


@pytest.mark.parametrize(("order", "value"), [("morf", 0.8), ("lerf", 0.0), ("combined", 0.4)])
def test_one_bright_pixel(formula, order, value):
    """The score is that pixel's value: it falls to its black neighbours' where it is removed first, else never."""
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 0.8
    case, _ = make_case(formula(lambda x: x[:, 12]), image, "input-x-gradient", classes=torch.tensor([0]))
    found = ROAD(order=order, steps=4, sigma=0, score="logit").judge(case)
    assert found.value.item() == pytest.approx(value, abs=1e-6)
    assert found.forwards.tolist() == [9 if order == "combined" else 5]


def test_combined_is_half_the_sum_of_both_orders(formula):
    """As many pixels are removed in either order: the third of three steps leaves a quarter of them."""
    image = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    case, _ = make_case(formula(lambda x: (x**2).sum(1)), image, "input-x-gradient", classes=torch.tensor([0]))
    both = {o: ROAD(order=o, steps=3, sigma=0, score="logit").judge(case).value.item() for o in ("morf", "lerf")}
    found = ROAD(steps=3, sigma=0, score="logit").judge(case).value.item()
    assert abs(both["morf"]) > 0.01
    assert found == pytest.approx(sum(both.values()) / 2, abs=1e-6)
