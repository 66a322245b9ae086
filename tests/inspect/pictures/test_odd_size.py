from tests.inspect.images import find, plain
from unshaken.inspect import OddSize


def test_sizes_beyond_the_fences_are_found_the_farthest_first():
    sides = [100, 101, 102, 103, 104, 105, 106, 107, 108, 93, 94, 121, 200]  # quartiles 101 and 107
    found = find(OddSize(), [plain(0, (side, side)) for side in sides])
    assert found.rows.tolist() == [12]
    assert found.notes == ["200 x 200 pixels"]
    found = find(OddSize(ranges=1.0), [plain(0, (side, side)) for side in sides])  # 95 to 113
    assert found.rows.tolist() == [12, 11, 9, 10]


def test_where_most_have_one_size_every_other_is_odd():
    found = find(OddSize(), [plain(0)] * 8 + [plain(0, (40, 31))])
    assert found.rows.tolist() == [8]
