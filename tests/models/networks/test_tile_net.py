"""Linear attention by hand, the size of the net, and what it sees of a texture."""

import math

import pytest
import torch

from unshaken.models.networks.tile_net import LinearAttention, TileNet, linear_attention


def test_attention_by_hand():
    q = torch.tensor([[0, math.log(3)], [0, 0]], dtype=torch.float64)
    v = torch.tensor([[1.0, 3], [0, 4]], dtype=torch.float64)
    expected = [[1.590990, 1.679379], [1.767767, 1.944544]]
    assert linear_attention(q, q, v).tolist() == [pytest.approx(row, abs=1e-6) for row in expected]


def test_a_constant_value_comes_out_over_the_root_of_the_width():
    q, k = torch.randn(2, 4, 2, 7, generator=torch.Generator().manual_seed(0)).unbind()
    found = linear_attention(q, k, torch.full((4, 2, 7), 5.0))
    assert torch.allclose(found, torch.tensor(5 / math.sqrt(2)))


def test_permuting_places_permutes_the_output():
    q, k, v = torch.randn(3, 4, 6, 9, generator=torch.Generator().manual_seed(0)).unbind()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    found = linear_attention(q[..., order], k[..., order], v[..., order])
    assert torch.allclose(found, linear_attention(q, k, v)[..., order], atol=1e-6)


def test_without_gamma_the_block_is_the_identity():
    block, x = LinearAttention(8, 2, 4), torch.rand(2, 8, 5, 3)
    assert float(block.gamma.detach()) == pytest.approx(0.01)
    assert not torch.equal(block(x), x)
    with torch.no_grad():
        block.gamma.zero_()
    assert torch.equal(block(x), x)


def test_the_publication_s_blocks_have_the_known_numbers_of_parameters():
    counts = [sum(p.numel() for p in LinearAttention(c, 16, w).parameters()) for c, w in ((512, 128), (1024, 256))]
    assert counts == [4_195_841, 16_780_289]


def test_its_size_and_that_it_sees_the_seam_of_the_whole_texture():
    torch.manual_seed(0)
    net = TileNet(channels=3).eval()
    assert sum(p.numel() for p in TileNet().parameters()) == 63_523
    assert TileNet.shape_of(net.state_dict()) == (2, 3, None)
    shown = []
    net.body.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    x = torch.rand(1, 3, 8, 12)
    assert net(x).shape == (1, 2)
    assert torch.equal(shown[0][:, :3], x.roll((4, 6), (2, 3)))
    assert shown[0][0, 3].sum(0).tolist() == [2] * 5 + [8, 8] + [2] * 5
    net.tiled = False
    net(x)
    assert torch.equal(shown[1][:, :3], x)
