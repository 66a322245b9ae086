import torch

from unshaken.models.networks.convolutions import ConvBlocks, PlainConvs, perceptron


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_parameters_by_hand():
    blocks = ConvBlocks(10, 1, 28, widths=(8, 16), strides=(1, 2))
    assert count(blocks) == (1 * 8 * 9 + 2 * 8) + (8 * 16 * 9 + 2 * 16) + (16 * 10 + 10)
    plain = PlainConvs(4, 3, 9, widths=(2, 5))
    assert count(plain) == (3 * 2 * 9 + 2) + (2 * 5 * 9 + 5) + (5 * 4 + 4)
    assert count(perceptron(3, 1, 2, dims=4, hidden=(7, 5))) == (4 * 7 + 7) + (7 * 5 + 5) + (5 * 3 + 3)


def test_images_of_any_side_give_logits():
    for net in (ConvBlocks(4, 3, 9, widths=(2,), strides=(2,)).eval(), PlainConvs(4, 3, 9).eval()):
        assert net(torch.rand(2, 3, 9, 13)).shape == (2, 4)


def test_a_perceptron_without_hidden_units_is_linear():
    net = perceptron(2, 1, 2, dims=4, hidden=())
    x, y = torch.rand(2, 1, 2, 2), torch.rand(2, 1, 2, 2)
    assert torch.allclose(net(x) + net(y), 2 * net((x + y) / 2), atol=1e-6)
