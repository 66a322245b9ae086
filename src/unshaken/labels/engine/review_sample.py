"""`draw_review`: the labels that people should look at, so that their verdicts tell how many are wrong."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unshaken.core.documents import check_regular
from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.measure.statistics.columns import Flags, Indices, Numbers
from unshaken.measure.statistics.intervals import Figure, stratified_share

STRATA = 6


@dataclass(frozen=True, slots=True)
class ReviewSample:
    """A stratified sample of labels that people review.

    Strata are by suspicion: the most suspect 1/63 of the labels, the next 2/63, then 4, 8, 16 and 32; from each equally
    many are drawn. Where wrong labels are dense most of them are seen, and no label is left without a chance.

    Args:
        indices: samples to review, int `[n]`, in an order that tells nothing of their suspicion.
        strata: the stratum of each of these, 0 the most suspect, int `[n]`.
        sizes: samples in each stratum, `[H]`.
    """

    indices: Indices
    strata: Indices
    sizes: Indices

    def share_wrong(self, wrong: Flags, *, level: float = 0.95) -> Figure:
        """The share of wrong labels in the whole set.

        Args:
            wrong: the verdict on each of `indices`, bool `[n]`.
            level: coverage.

        Raises:
            ParameterError: there is not one verdict for each.
        """
        if len(wrong) != len(self.indices):
            raise ParameterError(f"{len(wrong)} verdicts for {len(self.indices)} samples to review: give one each")
        counts = np.bincount(self.strata, minlength=len(self.sizes))
        hits = np.bincount(self.strata, np.asarray(wrong, float), len(self.sizes)).astype(np.int64)
        return stratified_share(hits, counts, self.sizes, level=level)

    def first(self, count: int) -> ReviewSample:
        """The sample as if it had ended after some of its indices: in their random order each beginning is a sample.

        Args:
            count: number of indices, at least 1.
        """
        return ReviewSample(self.indices[:count], self.strata[:count], self.sizes)

    def share_so_far(self, words: Sequence[str | None]) -> Figure | None:
        """The share of wrong labels in the whole set, from the verdicts that are there.

        They are those of a beginning of the sample, see `usable_beginning`; the figure's `n` is its length. The lower
        end takes every sample of it that is unclear or has no verdict for right, the upper end for wrong; the value
        leaves half of them. The interval is for a number of verdicts that was fixed in advance.

        Args:
            words: `right`, `wrong` or `unclear` on each of `indices`, None where there is no verdict yet, `[n]`.

        Returns:
            None where no beginning has more verdicts than gaps.
        """
        count = usable_beginning(np.array([word is not None for word in words], bool))
        if not count:
            return None
        wrong = np.array([word == "wrong" for word in words[:count]])
        unclear = np.array([word in (None, "unclear") for word in words[:count]])
        least, most = (self.first(count).share_wrong(flags) for flags in (wrong, wrong | unclear))
        return Figure((least.value + most.value) / 2, least.low, most.high, least.n, least.interval)


def usable_beginning(answered: Flags) -> int:
    """The number of samples, from the first one, from whose verdicts the share of wrong labels may be estimated.

    Of all beginnings, the one in which answered samples outnumber open ones by most. It depends on which samples are
    answered and not on the answers; what is open in it must be taken for unclear, as people may leave out what is hard.

    Args:
        answered: whether each sample has a verdict, in the order of the review, bool `[n]`.

    Returns:
        0 where no beginning has more answered samples than open ones.

    >>> usable_beginning(np.array([True, True, False, True, True, False, False, False, True]))
    5
    """
    surplus = np.cumsum(np.where(answered, 1, -1))
    return int(surplus.argmax()) + 1 if len(surplus) and surplus.max() > 0 else 0


def draw_review(score: Numbers, size: int, *, seed: int = 0) -> ReviewSample:
    """Draw a stratified sample of labels to review, the suspect ones more densely.

    Args:
        score: how likely each label is right, `[N]`, as `LabelScores.score`; the lower the more suspect.
        size: samples to review, at least one a stratum; of fewer samples than strata all.
        seed: of the draws.

    Raises:
        ParameterError: size is too small, or above N.
    """
    least = min(STRATA, len(score))
    if not least <= size <= len(score):
        raise ParameterError(f"a review of {size} samples is not possible: choose {least} to {len(score)}")
    rng = np.random.default_rng(seed)
    order = np.argsort(score, kind="stable")
    ends = np.ceil(len(order) * (2 ** np.arange(1, STRATA) - 1) / (2**STRATA - 1)).astype(np.int64)
    groups = [group for group in np.split(order, ends) if len(group)]
    shares = _even(size, [len(group) for group in groups])
    drawn = [rng.choice(group, n, replace=False) for group, n in zip(groups, shares, strict=True)]
    indices = np.concatenate(drawn)
    strata = np.repeat(np.arange(len(groups)), shares)
    shuffled = rng.permutation(len(indices))
    return ReviewSample(indices[shuffled], strata[shuffled], np.array([len(group) for group in groups]))


def _even(total: int, sizes: list[int]) -> list[int]:
    """Parts of a total, as even as the sizes allow.

    >>> _even(10, [1, 9, 9])
    [1, 5, 4]
    """
    shares, left = [0] * len(sizes), total
    open_ = list(range(len(sizes)))
    while left:
        each, more = divmod(left, len(open_))
        for place, i in enumerate(open_):
            added = min(sizes[i] - shares[i], each + (place < more))
            shares[i] += added
            left -= added
        open_ = [i for i in open_ if shares[i] < sizes[i]]
    return shares


VERDICTS = ("right", "wrong", "unclear")


def read_verdicts(path: str | Path, wanted: Sequence[str]) -> dict[str, str]:
    """The verdicts on samples that were drawn.

    Args:
        path: a CSV file in UTF-8 with the columns `id` and `verdict`: right, wrong or unclear.
        wanted: ids of the samples that were drawn.

    Raises:
        DataError: the file is absent or damaged, has none of the samples or one twice, or has another word as verdict.
    """
    check_regular(path)
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if not rows or not {"id", "verdict"} <= rows[0].keys():
        raise DataError(f"{path}: needs a first line with the columns id and verdict")
    found: dict[str, str] = {}
    for number, row in enumerate(rows, 2):
        name, verdict = row["id"] or "", (row["verdict"] or "").strip().lower()
        if verdict not in VERDICTS:
            raise DataError(f"{path}: line {number}: no verdict {verdict!r}; {did_you_mean(verdict, VERDICTS)}")
        if name in found:
            raise DataError(f"{path}: line {number}: sample {name!r} comes twice")
        found[name] = verdict
    return check_verdicts(found, wanted, str(path))


def check_verdicts(found: Mapping[str, str], wanted: Sequence[str], source: str) -> dict[str, str]:
    """The verdicts on samples that were drawn, from those on samples.

    Args:
        found: id to `right`, `wrong` or `unclear`.
        wanted: ids of the samples that were drawn.
        source: what to call them in messages.

    Raises:
        DataError: there is none on any of them, or it is another word.
    """
    kept = {name: found[name] for name in wanted if name in found}
    if not kept:
        raise DataError(
            f"{source}: none of the {len(wanted)} drawn samples has a verdict, such as {wanted[0]!r}; "
            "write 'unclear' where people cannot tell"
        )
    for name, word in kept.items():
        if word not in VERDICTS:
            raise DataError(f"{source}: sample {name!r}: no verdict {word!r}; {did_you_mean(word, VERDICTS)}")
    return kept
