"""Seams in closed form, worked by hand: ramps, a cosine whole and cut, chessboards, a line at the border."""

import math

import pytest
import torch

from unshaken.explain.textures.seams import border_energy, seam_excess, seam_fault, seam_ratios, smooth_part

RAMP = torch.linspace(0, 1, 8, dtype=torch.float64).expand(1, 1, 8, 8)
COSINE = torch.cos(2 * math.pi * torch.arange(8, dtype=torch.float64) / 8).expand(1, 1, 8, 8)
BOARD = ((torch.arange(8)[:, None] + torch.arange(8)) % 2).double()[None, None]
LINE = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
LINE[..., 3] = 1


@pytest.mark.parametrize(
    ("texture", "rows", "columns"),
    [
        (RAMP, 1, 7),
        (COSINE, 1, 0.553061),
        (COSINE[..., :6], 1, 3.722607),
        (BOARD, 1, 1),
        (BOARD[..., :7, :7], 0, 0),
        (torch.full((1, 3, 5, 6), 0.3), 1, 1),
        (RAMP.mT, 7, 1),
    ],
    ids=["ramp", "cosine", "cut cosine", "board", "odd board", "constant", "turned"],
)
def test_seam_ratios_by_hand(texture, rows, columns):
    assert seam_ratios(texture)[0].tolist() == pytest.approx([rows, columns], abs=1e-5)


def test_a_fault_is_a_ratio_far_from_one_on_either_side():
    assert seam_fault(torch.cat([RAMP, BOARD])).tolist() == pytest.approx([math.log(7), 0])
    assert float(seam_fault(BOARD[..., :7, :7])) == math.inf


@pytest.mark.parametrize(
    ("texture", "energy"),
    [(RAMP, 0.765625), (COSINE, 0.014074), (LINE, 0.416667), (BOARD, 0.052005), (BOARD[..., :7, :7], 0)],
    ids=["ramp", "cosine", "line", "board", "odd board"],
)
def test_border_energies_by_hand(texture, energy):
    assert float(border_energy(texture)) == pytest.approx(energy, abs=1e-6)
    assert float(border_energy(torch.ones(1, 1, 6, 5))) == 0


def test_the_smooth_part_by_hand():
    assert smooth_part(RAMP)[0, 0, 3].tolist() == pytest.approx([-0.4375 + k / 8 for k in range(8)])
    assert smooth_part(LINE)[0, 0, 2].tolist() == pytest.approx([-0.375, -0.125, 0.125, 0.375])
    rest = (RAMP - smooth_part(RAMP))[0, 0, 0]
    assert float((rest[0] - rest[-1]).abs()) == pytest.approx(0.125)


def test_both_have_a_gradient():
    texture = torch.rand(2, 3, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(border_energy, texture)
    assert torch.autograd.gradcheck(seam_ratios, texture)


@pytest.mark.parametrize("value", [77 / 255, 1 / 3, 1.0, 0.0])
def test_one_colour_has_no_energy_whatever_is_left_by_rounding(value):
    noise = 2e-7 * value * torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert border_energy(value + noise).tolist() == [0, 0, 0]


def test_the_excess_of_a_step_over_a_seam_by_hand():
    lines = torch.tensor([0.0, 1, 3, 4], dtype=torch.float64).expand(1, 2, 4, 4)  # steps 1, 2, 1 and 4: (4 - 4/3) / sd
    assert seam_excess(lines)[0].tolist() == pytest.approx([0, (4 - 4 / 3) / math.sqrt(2 / 9)])
    assert seam_excess(lines.mT)[0].tolist() == pytest.approx([(4 - 4 / 3) / math.sqrt(2 / 9), 0])
    assert seam_excess(BOARD)[0].tolist() == [0, 0]
    assert seam_excess(BOARD[..., :7, :7])[0].tolist() == [-math.inf, -math.inf]
