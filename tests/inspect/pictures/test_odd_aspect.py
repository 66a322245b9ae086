from tests.inspect.images import find, plain
from unshaken.inspect import OddAspect


def test_long_and_tall_images_are_found():
    found = find(OddAspect(), [plain(0, (100, 35)), plain(0, (100, 34)), plain(0, (10, 90))])
    assert found.rows.tolist() == [2, 1]
    assert found.scores.tolist() == [1 / 9, 0.34]
