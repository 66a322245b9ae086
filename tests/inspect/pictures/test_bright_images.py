from tests.inspect.images import find, pattern, plain
from unshaken.inspect import BrightImages


def test_bright_images_are_found_brightest_first():
    images = [pattern(60, 80, 3, 2, 5), plain(246), plain((255, 255, 255)), plain(200)]
    found = find(BrightImages(), images)
    assert found.rows.tolist() == [2, 1]
    assert abs(found.scores[1] - 9 / 255) < 1e-12
