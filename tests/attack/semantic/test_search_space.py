"""Search spaces: a start that changes nothing, and single transformations known by hand."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.semantic._lasso import lasso_mask
from unshaken.attack.semantic._search_space import LIMITS, PixelSpace, TransformationSpace, total_variation, transformed
from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng

NAMES = list(LIMITS)


def images(n=2, channels=3, height=10, width=14):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0))


def amounts(**values):
    found = torch.zeros(1, len(NAMES))
    for name, value in values.items():
        found[0, NAMES.index(name)] = value
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_no_amount_changes_nothing(channels):
    batch = images(channels=channels)
    space = TransformationSpace()
    codes = space.start(batch, SampleRng.of(0, "t", ["a", "b"]))
    assert torch.allclose(space.render(codes, batch), batch, atol=1e-5)
    assert torch.equal(PixelSpace(1.0).render(batch, batch), batch)


def test_single_amounts_by_hand():
    batch = images(1) * 0.4 + 0.2
    shift = transformed(batch, amounts(right=2 / 7 / 0.3))  # 2 of the 7 pixels of half the width
    assert torch.allclose(shift[..., 2:], batch[..., :-2], atol=1e-4)
    lower = transformed(batch, amounts(down=1 / 5 / 0.3))
    assert torch.allclose(lower[..., 1:, :], batch[..., :-1, :], atol=1e-4)
    assert torch.allclose(transformed(batch, amounts(brightness=0.5)), batch + 0.15, atol=1e-5)
    grey = torch.full((1, 3, 6, 6), 0.5)
    assert torch.allclose(transformed(grey, torch.tensor([[1.0, 1, 1, 1, 0, 1, 1, 1]])), grey, atol=1e-5)
    contrast = transformed(batch, amounts(contrast=-1))
    mean = batch.mean((2, 3), keepdim=True)
    assert torch.allclose(contrast, (batch - mean) * 0.4966 + mean, atol=1e-3)


def test_a_turn_keeps_the_centre_and_its_sense():
    dot = torch.zeros(1, 1, 21, 21)
    dot[..., 10, 17] = 1  # to the right of the centre; a clockwise turn on the screen moves it down
    made = transformed(dot, amounts(angle=1.0))[0, 0]
    row, column = divmod(int(made.argmax()), 21)
    assert abs(row - 10) in (3, 4)
    assert column == 16
    back = transformed(dot, amounts(angle=-1.0))[0, 0]
    assert divmod(int(back.argmax()), 21)[0] - 10 == 10 - row


def test_a_wide_image_is_turned_without_shear():
    line = torch.zeros(1, 1, 11, 41)
    line[..., 5, 12:29] = 1
    made = transformed(line, amounts(angle=0.5))[0, 0]
    rows, columns = (made > 0.5).nonzero().float().unbind(1)
    slope = (rows[-1] - rows[0]) / (columns[-1] - columns[0]) if len(rows) else torch.tensor(0.0)
    assert abs(float(slope)) == pytest.approx(0.268, abs=0.05)  # tan 15 degrees


def test_gradients_reach_every_amount():
    z = (torch.rand(2, len(NAMES), generator=torch.Generator().manual_seed(1)) * 0.4 - 0.2).requires_grad_(True)
    (slope,) = torch.autograd.grad((transformed(images() * 0.5 + 0.2, z) ** 2).sum(), z)
    assert bool((slope.abs() > 1e-4).all())


def test_projection_and_units_of_steps():
    flat = torch.full((1, 1, 4, 4), 0.5)
    assert float(PixelSpace(0).scale(flat)) == pytest.approx(1 / 255)
    assert float(PixelSpace(0).scale(torch.tensor([[0.2, 0.8]]))) == pytest.approx(0.3)
    assert float(PixelSpace(0).project(torch.tensor(1.5))) == 1
    assert TransformationSpace().project(amounts(zoom=3.0)).max() == 1
    assert TransformationSpace().scale(amounts()).tolist() == [1]


def test_total_variation_by_hand():
    checks = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).view(1, 1, 2, 2)
    assert total_variation(checks).tolist() == [2.0]
    assert total_variation(torch.full((1, 3, 4, 4), 0.3)).tolist() == [0.0]
    assert PixelSpace(3.0).penalty(checks).tolist() == [6.0]
    assert PixelSpace(0.0).penalty(checks) is None


def test_the_lasso_keeps_what_tells_classes_apart():
    draw = torch.Generator().manual_seed(0)
    codes = torch.randn(80, 2, 3, generator=draw)
    labels = (codes[:, 1, 2] > 0).long()
    mask = lasso_mask(codes, labels, 0.15, "m")
    assert mask.tolist() == [[False] * 3, [False, False, True]]
    codes[:, 0, 0] = 0.3  # a coordinate without spread tells nothing
    assert torch.equal(lasso_mask(codes, labels, 0.15, "m"), mask)
    assert int(lasso_mask(codes, labels, 1e-4, "m").sum()) > 1
    with pytest.raises(ParameterError, match="keeps none of 6"):
        lasso_mask(codes, labels, 9.0, "m")
    with pytest.raises(ParameterError, match="two classes"):
        lasso_mask(codes, labels * 0, 0.1, "m")


def test_saturation_and_sharpness_by_hand():
    """A ninth tenth of the way to grey, by the luminance of BT.601; and to the mean of three by three pixels."""
    batch = images(1) * 0.4 + 0.3
    grey = (batch * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    pale = transformed(batch, amounts(saturation=-1))
    assert torch.allclose(pale, grey + 0.1 * (batch - grey), atol=1e-5)
    assert torch.equal(transformed(batch[:, :1], amounts(saturation=-1)), transformed(batch[:, :1], amounts()))
    soft = transformed(batch, amounts(sharpness=-1))
    blurred = torch.nn.functional.avg_pool2d(batch, 3, 1)  # the border aside
    inner = batch[..., 1:-1, 1:-1]
    assert torch.allclose(soft[..., 1:-1, 1:-1], blurred + 0.1 * (inner - blurred), atol=1e-5)
    flat = torch.full((1, 1, 5, 5), 0.25)
    flat[..., 2, 2] = 0.5
    sharp = transformed(flat, amounts(sharpness=1 / 9))[..., 2, 2]
    mean = 0.25 + 0.25 / 9
    assert float(sharp) == pytest.approx(mean + 1.1 * (0.5 - mean), abs=1e-5)


def test_zoom_and_turn_by_hand():
    """On a ramp, a place u from the centre shows what was at `u exp(-0.3)`; a turn by 30 degrees mixes both ways."""
    across = torch.linspace(-1, 1, 40).mul(19.5 / 20).view(1, 1, 1, 40).expand(1, 1, 40, 40) * 0.4 + 0.5
    zoomed = transformed(across, amounts(zoom=1.0))
    assert torch.allclose(zoomed - 0.5, (across - 0.5) * 0.740818, atol=1e-4)
    turned = transformed(across, amounts(angle=1.0))
    expected = (across - 0.5) * 0.866025 + (across.transpose(2, 3) - 0.5) * 0.5
    middle = slice(10, 30)
    assert torch.allclose(turned[..., middle, middle] - 0.5, expected[..., middle, middle], atol=1e-4)


def test_variation_of_a_line_counts_its_own_neighbours():
    line = torch.tensor([0.0, 1.0, 0.5]).view(1, 1, 1, 3)
    assert total_variation(line).tolist() == [0.75]
    assert total_variation(line.transpose(2, 3)).tolist() == [0.75]
