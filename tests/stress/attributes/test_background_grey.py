"""Grey backgrounds."""

import torch

from unshaken.stress.attributes.background_grey import BackgroundGrey


def test_all_around_is_grey(keeps_the_object, stacked):
    found = keeps_the_object(BackgroundGrey())
    assert torch.equal(found[~stacked.expand_as(found)].unique(), torch.tensor([0.5]))
