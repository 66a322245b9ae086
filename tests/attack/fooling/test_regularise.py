import torch

from unshaken.attack.fooling.regularise import without_small, without_useless


def test_small_pixels_go_by_their_norm_over_channels():
    x = torch.tensor([[[[3.0, 0.1, 0.2, 1.0]], [[4.0, 0.1, 0.0, 0.0]]]])  # norms 5, 0.14, 0.2, 1
    assert without_small(x, 50).tolist() == [[[[3, 0, 0, 1]], [[4, 0, 0, 0]]]]
    assert (without_small(x, 0) == x).all()
    both = torch.cat([x, 10 * x])
    assert (without_small(both, 50)[1] == 10 * without_small(x, 50)[0]).all()  # each image by itself


def test_useless_pixels_go_by_benefit_with_and_without_sign():
    x = torch.tensor([[[[1.0, 1.0, 1.0, 1.0]]]])
    gradient = torch.tensor([[[[4.0, -1.0, 2.0, -3.0]]]])  # benefits of 0: -4, 1, -2, 3
    assert without_useless(x, gradient, 50, absolute=False).tolist() == [[[[0, 1, 0, 1]]]]
    assert without_useless(x, gradient, 50, absolute=True).tolist() == [[[[1, 0, 0, 1]]]]
    assert (without_useless(x, gradient, 0, absolute=True) == x).all()
