"""Forward reading, its starts counted."""

import pytest

from unshaken.data.forward import Forward


def test_rising_order_reads_once_and_going_back_starts_again():
    starts = []

    def start():
        starts.append(1)
        return iter("abcdef")

    items = Forward(start)
    assert [items.at(i) for i in (0, 2, 2, 5)] == ["a", "c", "c", "f"]
    assert len(starts) == 1
    assert items.at(1) == "b"
    assert len(starts) == 2
    with pytest.raises(IndexError, match="position 6 lies behind the last item, 5"):
        items.at(6)
    assert items.at(0) == "a"
