from tests.inspect.images import find, pattern, plain
from unshaken.inspect import ExactDuplicates


def test_the_same_pixels_are_one_group_whatever_their_file():
    a, b = pattern(20, 30, 3, 2, 5), pattern(20, 30, 1, 7, 3)
    images = [a, b, a.copy(), plain(1), b.copy(), a.copy()]
    found = find(ExactDuplicates(), images)
    assert found.rows.tolist() == [0, 2, 5, 1, 4]
    assert found.groups.tolist() == [0, 0, 0, 1, 1]


def test_files_are_compared_where_asked_and_where_there_are_any():
    a = pattern(20, 30, 3, 2, 5)
    assert find(ExactDuplicates(by="files"), [a, plain(1), a], files=True).rows.tolist() == [0, 2]
    found = find(ExactDuplicates(by="files"), [a, a])
    assert found.rows.tolist() == []
    assert "by=pixels" in found.remarks[0]


def test_a_leak_is_the_share_of_the_data_that_is_in_another_set():
    a, b = pattern(20, 30, 3, 2, 5), pattern(20, 30, 1, 7, 3)
    found = find(ExactDuplicates(), [a, b, plain(1), plain(2), b], sets=[0, 0, 0, 0, 1])
    assert found.rows.tolist() == [1, 4]
    assert found.figures["leak_duplicates"].value == 0.25
