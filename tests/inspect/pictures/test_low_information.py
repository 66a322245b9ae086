import pytest

from tests.inspect.images import find, pattern, plain
from unshaken.inspect import DecodedSample, LowInformation

CLEANVISION = {(60, 80, 3, 2, 5): 9.500051352943215, (97, 41, 1, 7, 3): 9.422525313019435}
"""`calc_entropy` of cleanvision 0.3.7, in bits."""


@pytest.mark.parametrize(("form", "expected"), CLEANVISION.items())
def test_the_score_is_that_of_cleanvision(form, expected):
    assert LowInformation().score(DecodedSample(pattern(*form))) == pytest.approx(expected / 10, rel=1e-9)


def test_half_black_half_white_has_one_bit():
    image = plain(0)
    image.paste(255, (0, 0, 20, 30))
    found = find(LowInformation(), [pattern(60, 80, 3, 2, 5), image])
    assert found.rows.tolist() == [1]
    assert found.scores.tolist() == [0.1]
