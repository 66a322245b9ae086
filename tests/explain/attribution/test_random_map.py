import torch

from unshaken.explain.engine.run import attribute


def test_it_asks_nothing_and_differs_by_id_and_seed(conv, images):
    one = attribute(conv, images, "random-map", classes=torch.zeros(7).long())
    assert one.forwards.sum() == 0
    assert ((one.maps >= 0) & (one.maps < 1)).all()
    other = attribute(conv, images, "random-map", classes=torch.zeros(7).long(), seed=1)
    assert not torch.equal(one.maps, other.maps)
    assert not torch.equal(one.maps[0], one.maps[1])
