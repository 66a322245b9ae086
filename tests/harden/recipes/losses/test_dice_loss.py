import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.harden.recipes.losses.dice_loss import DiceLoss, dice_loss, foreground

P = torch.tensor([[[[0.9, 0.2], [0.1, 0.6]]]])
G = torch.eye(2)[None, None]


@pytest.mark.parametrize(
    ("options", "wanted"), [({"eps": 1.0}, 0.166667), ({"eps": 1e-5, "smooth_above": False}, 0.210528)]
)
def test_the_values_of_the_paper_s_code(options, wanted):
    assert float(dice_loss(P, G, logits=False, **options)) == pytest.approx(wanted, abs=1e-6)


def test_the_smoothing_decides_what_an_empty_class_costs():
    empty, little = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.1)
    assert float(dice_loss(little, empty, logits=False)) == pytest.approx(0.285714, abs=1e-6)
    assert float(dice_loss(little, empty, logits=False, eps=1e-5, smooth_above=False)) == 1
    assert float(dice_loss(G, G, logits=False)) == 0


def test_its_gradient_is_the_formula_and_falls_with_the_area():
    p, g = torch.rand(1, 1, 4, 4, dtype=torch.float64), (torch.arange(16).view(1, 1, 4, 4) % 3 == 0).double()
    p.requires_grad_()
    dice_loss(p, g, logits=False, eps=1e-12).backward()
    inside, whole = (p * g).sum(), p.sum() + g.sum()
    torch.testing.assert_close(p.grad, -(2 * g * whole - 2 * inside).detach() / whole.detach() ** 2)
    large = p.detach().repeat_interleave(2, 2).repeat_interleave(2, 3).requires_grad_()
    dice_loss(large, g.repeat_interleave(2, 2).repeat_interleave(2, 3), logits=False, eps=1e-12).backward()
    torch.testing.assert_close(large.grad[..., ::2, ::2], p.grad / 4)


def test_images_and_classes_may_have_ratios_of_their_own():
    p = torch.rand(3, 2, 5, 5)
    g = (torch.rand(3, 2, 5, 5) > 0.5).float()
    each = [dice_loss(p[i : i + 1, k : k + 1], g[i : i + 1, k : k + 1], logits=False) for i in range(3) for k in (0, 1)]
    torch.testing.assert_close(dice_loss(p, g, logits=False, per_image=True), torch.stack(each).mean())
    one = dice_loss(p.view(1, 1, -1, 5), g.view(1, 1, -1, 5), logits=False)
    torch.testing.assert_close(dice_loss(p, g, logits=False, classwise=False), one)


def test_half_precision_is_summed_in_single():
    p = torch.full((1, 1, 400, 400), 0.5, dtype=torch.float16)
    assert float(dice_loss(p, torch.ones(1, 1, 400, 400), logits=False)) == pytest.approx(1 / 3, abs=1e-4)


def test_ignored_pixels_and_the_background_count_for_nothing():
    masks = torch.tensor([[[0, 1], [2, 255]]])
    logits = torch.randn(1, 3, 2, 2)
    maps, target, ignored = foreground(logits, masks)
    assert target[0].tolist() == [[[0, 1], [0, 0]], [[0, 0], [1, 0]]]
    other = logits.clone()
    other[:, :, 1, 1] += torch.tensor([1.0, 5.0, -3.0])[None]
    torch.testing.assert_close(foreground(other + 7, masks)[0][..., 0, :], maps[..., 0, :])
    a, b = (dice_loss(foreground(z, masks)[0], target, ignored=ignored) for z in (logits, other))
    torch.testing.assert_close(a, b)


def test_the_recipe_adds_cross_entropy_where_asked_and_refuses_other_shapes():
    assert DiceLoss(cross_entropy=0.5).cross_entropy == 0.5
    with pytest.raises(ParameterError, match="both be"):
        dice_loss(P, G[0])
    with pytest.raises(ParameterError, match=r"\[0, 1\]"):
        dice_loss(P * 3, G, logits=False)
