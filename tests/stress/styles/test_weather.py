"""Each kind comes up, by sample and not by batch; rain falls where it was drawn."""

import torch

from tests.stress.styles.squares import square
from unshaken.stress.styles.weather import Weather, rain


def test_rain_is_a_fading_streak_below_each_drop_on_a_darker_image():
    drops = torch.ones(1, 32, 32)
    drops[0, 5, 7] = 0.0
    wet = rain(torch.full((1, 1, 32, 32), 0.5), drops, torch.zeros(1), 1.0)[0, 0]
    dry = 0.5 * 0.65
    column = wet[:, 7]
    assert (column > dry + 1e-4).nonzero().flatten().tolist() == [5, 6, 7, 8]  # an eighth of 32
    assert column[5] > column[6] > column[7] > column[8]
    torch.testing.assert_close(wet[:, :7], torch.full((32, 7), dry))


def test_snow_fog_and_rain_all_come_up():
    changed = Weather().apply(square(24), 5).images
    assert len({round(float(x), 2) for x in changed[:, 0, 0, 0]}) > 3
    mean = changed.mean((1, 2, 3))
    darker, brighter = int((mean < 0.62).sum()), int((mean > 0.75).sum())
    assert darker > 0
    assert brighter > 0
