from tests.inspect.images import find, pattern, plain
from unshaken.inspect import OneColour


def test_images_of_one_colour_are_found():
    spot = plain((9, 200, 30))
    spot.putpixel((3, 3), (9, 209, 30))
    assert find(OneColour(), [pattern(60, 80, 3, 2, 5), plain(3), spot, plain((9, 8, 7))]).rows.tolist() == [1, 3]
    assert find(OneColour(threshold=0.04), [plain(3), spot]).rows.tolist() == [0, 1]
