import torch

from unshaken.attack.fooling.proxies import nearest, total_variation


def test_proxies_by_hand():
    image = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    assert total_variation(image).tolist() == [0.5]  # across (1 + 0) / 2, down (0.5 + 0.5) / 2
    assert total_variation(torch.zeros(2, 1, 1, 1)).tolist() == [0, 0]
    points, others = torch.tensor([[0.0, 0.0], [3.0, 3.0]]), torch.tensor([[3.0, 4.0], [6.0, 8.0]])
    assert nearest(points, others).tolist() == [5, 1]


def test_variation_of_a_line_is_along_it_alone():
    line = torch.tensor([0.0, 1.0, 0.5]).view(1, 1, 1, 3)
    assert total_variation(line).tolist() == [0.75]
    assert total_variation(line.transpose(2, 3)).tolist() == [0.75]
