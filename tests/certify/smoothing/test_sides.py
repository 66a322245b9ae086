"""Which labels are lost already, from the votes of one side in full and the first of the other."""

from __future__ import annotations

import torch

from unshaken.certify.smoothing._sides import LostLabelsOfSide, SideJournal
from unshaken.certify.smoothing.votes import Tally


def tally(selected, counts):
    selected, counts = torch.tensor(selected), torch.tensor(counts)
    none = torch.zeros(len(counts), dtype=torch.int64)
    return Tally(selected, counts, none, none > 0, none, none.double())


def test_a_label_is_lost_where_both_shares_are_shown_to_be_below_1_together():
    """300 of 1,000 votes: at most .347; of ten first votes none: at most .499; of ten all: 1.

    The last sample's label is not known.
    """
    labels = torch.tensor([0, 0, 1, -1])
    lost = LostLabelsOfSide(tally([[10, 0]] * 4, [[300, 700]] * 4), labels)
    first = tally([[0, 10], [10, 0], [10, 0], [0, 10]], [[0, 0]] * 4)
    assert lost(first, torch.arange(4)).tolist() == [True, False, False, False]
    swapped = first[torch.tensor([1, 0])]
    assert lost(swapped, torch.tensor([1, 0])).tolist() == [False, True]
    even = LostLabelsOfSide(tally([[10, 0]], [[560, 440]]), labels[:1])
    assert even(first[:1], torch.tensor([0])).tolist() == [False]  # at most .608 and .499


class Memory:
    def __init__(self, records):
        self.records, self.flushed = records, 0

    def found(self):
        return self.records

    def keep(self, sample, record):
        self.records[sample] = record

    def flush(self):
        self.flushed += 1


def test_a_side_sees_its_own_records_alone():
    memory = Memory({"left/a": {"k": 1}, "right/a": {"k": 2}, "right/left/b": {"k": 3}})
    right = SideJournal(memory, "right")
    assert right.found() == {"a": {"k": 2}, "left/b": {"k": 3}}
    right.keep("c", {"k": 4})
    right.flush()
    assert memory.records["right/c"] == {"k": 4}
    assert memory.flushed == 1
