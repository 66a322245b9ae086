"""Sideways motion: a flat scene is the mean of whole shifts; a point twice as far moves half as far."""

import torch

from unshaken.stress.common_3d._moving import frame_times, mean_frame, sideways


def test_a_flat_scene_is_the_mean_of_shifted_copies(peer):
    image, depth = peer.double(9, 30), torch.full((9, 30), 0.4, dtype=torch.float64)
    found = mean_frame(image, [sideways(depth, 0.0, 4.0, time) for time in (0.0, 0.25, 0.5, 1.0)])
    copies = [image[..., shift : shift + 20] for shift in (0, 1, 2, 4)]
    assert torch.allclose(found[..., :20], sum(copies) / 4)


def test_a_point_twice_as_far_moves_half_as_far():
    depth = torch.full((4, 6), 0.5, dtype=torch.float64)
    depth[:, 3:] = 1.0
    rows, columns = sideways(depth, -2.0, 4.0, 0.5)
    assert rows[1].tolist() == [0, 0, 0, 0.5, 0.5, 0.5]
    assert columns[1].tolist() == [2, 3, 4, 4, 5, 6]


def test_a_severity_averages_the_first_frames_of_sixty():
    assert frame_times(60)[-1] == 1
    assert frame_times(20) == frame_times(60)[:20]
