"""Contrastive losses by hand and by their identities."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.harden.engine.contrastive import info_nce, nt_xent, queue_info_nce


@pytest.mark.parametrize("n", [2, 256])
def test_info_nce_of_equal_embeddings_is_log_b(n):
    same = torch.ones(n, 5)
    assert info_nce(same, same).tolist() == pytest.approx([math.log(n)] * n, abs=1e-5)


def test_info_nce_of_orthonormal_embeddings():
    eye = torch.eye(256)
    wanted = math.log(math.exp(5) + 255) - 5
    assert wanted == pytest.approx(0.999961, abs=1e-6)
    assert info_nce(eye, 3 * eye).tolist() == pytest.approx([wanted] * 256, abs=1e-5)
    assert info_nce(eye[:4], eye[:4], tau=1.0)[0].item() == pytest.approx(math.log(math.e + 3) - 1, abs=1e-5)


def test_info_nce_by_hand_and_where_gradients_go():
    u = torch.tensor([[1.0, 0.0], [1.0, 1.0]], requires_grad=True)
    v = torch.tensor([[2.0, 0.0], [0.0, 1.0]], requires_grad=True)
    found = info_nce(u, v, tau=0.5)
    half = math.sqrt(0.5)
    assert found[0].item() == pytest.approx(math.log(math.exp(2) + 1) - 2, abs=1e-6)
    assert found[1].item() == pytest.approx(math.log(2 * math.exp(2 * half)) - 2 * half, abs=1e-6)
    found.sum().backward()
    assert u.grad.abs().sum() > 0
    assert v.grad is None
    assert info_nce(torch.eye(4).bfloat16(), torch.eye(4).bfloat16()).dtype == torch.float32


def test_nt_xent_of_equal_views_is_the_log_of_the_others():
    same = torch.ones(8, 5)
    assert nt_xent(same, same).tolist() == pytest.approx([math.log(15)] * 16, abs=1e-5)


def test_nt_xent_by_hand():
    """Orthonormal samples: a partner at cosine 1 among 2 B - 2 others at 0."""
    eye = torch.eye(4, requires_grad=True)
    other = (3 * torch.eye(4)).requires_grad_()
    found = nt_xent(eye, other, tau=0.5)
    assert found.tolist() == pytest.approx([math.log(math.exp(2) + 6) - 2] * 8, abs=1e-5)
    found[0].backward()
    assert eye.grad.abs().sum() > 0
    assert other.grad.abs().sum() > 0


def test_the_usual_temperatures():
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nt_xent(z[:3], z[3:]), nt_xent(z[:3], z[3:], 0.5))
    assert torch.equal(info_nce(z[:3], z[3:]), info_nce(z[:3], z[3:], 0.2))
    queue = torch.eye(4)
    assert torch.equal(queue_info_nce(z[:3], z[3:], queue), queue_info_nce(z[:3], z[3:], queue, 0.2))


def test_nt_xent_is_the_cross_entropy_of_each_row_without_itself():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(6, 4, generator=g)
    unit = torch.nn.functional.normalize(z, dim=1).double()
    found = nt_xent(z[:3], z[3:], tau=0.3)
    for i in range(6):
        others = [math.exp(float(unit[i] @ unit[j]) / 0.3) for j in range(6) if j != i]
        partner = math.exp(float(unit[i] @ unit[(i + 3) % 6]) / 0.3)
        assert found[i].item() == pytest.approx(-math.log(partner / sum(others)), abs=1e-5)


def test_a_queue_of_equal_keys_is_the_log_of_all():
    same = torch.nn.functional.normalize(torch.ones(7, 3), dim=1)
    assert queue_info_nce(same[:2], 5 * same[:2], same).tolist() == pytest.approx([math.log(8)] * 2, abs=1e-5)


def test_rows_of_a_queue_that_are_not_filled_are_no_negatives():
    eye = torch.eye(4)
    queue = torch.cat([eye[2:3], torch.zeros(5, 4)])
    assert queue_info_nce(eye[:1], eye[:1], queue, 1.0).item() == pytest.approx(math.log(math.e + 1) - 1, abs=1e-6)
    assert queue_info_nce(eye[:1], eye[:1], torch.zeros(5, 4)).item() == 0
