import numpy as np
import pytest
import torch

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.losses.dice_loss import DiceLoss
from unshaken.models.networks.small import UNet
from unshaken.tasks.bev.centre_depth import CentreDepth, column_depths, labelled_depths
from unshaken.tasks.bev.two_stage import TwoStage, bev_picture, occupancy, with_map


def test_the_picture_is_the_map_twice_and_the_strongest_feature():
    logits = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    wanted = max(1 * torch.sigmoid(torch.tensor(2.0)), 2 * torch.sigmoid(torch.tensor(-1.0)))
    torch.testing.assert_close(occupancy(logits), wanted.expand(1, 1, 4, 4))
    features = torch.stack([torch.zeros(2, 2), torch.full((2, 2), 3.0)])[None]
    picture = bev_picture(logits, features)
    torch.testing.assert_close(picture[0, :, 0, 0], torch.stack([wanted, wanted, torch.tensor(3.0)]))
    torch.testing.assert_close(bev_picture(logits, appearance="none")[:, 2], picture[:, 0])
    with pytest.raises(ParameterError, match="needs the features"):
        bev_picture(logits)
    replaced = with_map(features, logits)
    torch.testing.assert_close(replaced[0, :, 0, 0], torch.stack([torch.tensor(0.0), wanted]))


def test_depths_of_columns_by_hand():
    masks = torch.zeros(1, 6, 3, dtype=torch.int64)
    masks[0, 1:4, 1] = 1
    wanted, there = labelled_depths(masks)
    assert there.tolist() == [[False, True, False]]
    assert wanted[0, 1] == 2.5
    logits = torch.zeros(1, 2, 6, 3)
    logits[0, 1, 4, 0] = 50.0
    torch.testing.assert_close(column_depths(logits), torch.tensor([[4.5, 3.0, 3.0]]))


def test_both_stages_are_trained_by_the_loop():
    torch.manual_seed(0)
    masks = torch.zeros(12, 32, 24, dtype=torch.uint8)
    masks[:, 8:20, 4:9] = 1
    images = (100 * masks + torch.randint(0, 100, masks.shape)).byte()[:, None]
    training = Training(epochs=1, batch_size=6, lr=0.01, held_out=2, check_images=2, select="last")
    first = Classifier(UNet(2, 1, widths=(4, 8)))
    first = fit(first, images, masks, [DiceLoss()], training, classes=2).model
    second = Classifier(TwoStage(first.net, 4))
    before = second.net.head[-1].weight.detach().clone()
    fitted = fit(second, images, masks, [CentreDepth()], training, classes=2)
    assert not torch.equal(fitted.model.net.head[-1].weight, before)
    assert np.isfinite(fitted.progress.curves[-1]["loss"])
