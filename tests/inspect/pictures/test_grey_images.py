from tests.inspect.images import find, pattern, plain
from unshaken.inspect import GreyImages


def test_grey_images_are_found_among_coloured_ones_alone():
    colour = pattern(20, 30, 3, 2, 5)
    found = find(GreyImages(), [colour, plain(7), colour, colour.convert("L").convert("RGB"), colour])
    assert found.rows.tolist() == [1, 3]
    assert found.checked == 5
    found = find(GreyImages(), [colour, plain(7), plain(9)])
    assert found.rows.tolist() == []
    assert found.remarks == ("2 of 3 images are grey: the data is grey, and none is pointed at for it.",)
