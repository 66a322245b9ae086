import torch

from unshaken.explain.engine.run import attribute


def test_the_cards_cases_by_hand(formula):
    first = torch.tensor([0])
    found = attribute(
        formula(lambda x: x[:, 0] ** 2 * x[:, 1]), torch.tensor([[[[2.0, 3]]]]), "input-x-gradient", classes=first
    )
    assert found.maps.tolist() == [[[24, 12]]]
    net = formula(lambda x: x[:, 0] - 2 * x[:, 1] + 3 * x[:, 2])
    found = attribute(net, torch.tensor([[[[2.0, 1, -1]]]]), "input-x-gradient", classes=first)
    assert found.maps.tolist() == [[[2, -2, -3]]]
