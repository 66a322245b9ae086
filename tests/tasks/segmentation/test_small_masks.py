import numpy as np

from unshaken.tasks.segmentation.small_masks import SIDE, pack_mask, unpack_mask


def test_large_masks_are_thinned_out_and_mix_no_classes():
    mask = np.zeros((300, 600), np.int64)
    mask[:, 300:] = 9
    mask[:10, :10] = 255
    small = unpack_mask(pack_mask(mask))
    assert small.shape == (SIDE // 2, SIDE)
    assert set(np.unique(small)) == {0, 9, 255}
    assert (small[:, SIDE // 2 :] == 9).all()
    assert len(pack_mask(mask)) < 1000
