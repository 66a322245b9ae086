"""The whole loop on real people's labels: find, review by recorded votes, estimate, correct, retrain, compare paired.

    UNSHAKEN_DATA=... python benchmarks/label_loop.py --out runs/loop --seeds 3

CIFAR-10N's `worse` labels of CIFAR-10's training images are searched by cross-validation. The drawn sample and the
flagged labels are reviewed blind by two readers, who answer as two of the people did (`random1`, `random2`); where they
differ the third one's vote decides. From the sample follows how many labels are wrong; printed beside it are the share
that the same people's votes give over all images, which is what the interval is for, and that by the official labels.
Then a network is trained on the labels as they are and on the corrected ones, same seed and settings, and both are
compared on the official test images, sample by sample; `OUT/changes/report.html` shows all of it. A second call with
the same `--out` goes on where the first one ended. `--limit` and `--epochs` make it shorter.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from unshaken import audit, harden
from unshaken.api.label_record import read_estimate
from unshaken.api.label_versions import compare_labels
from unshaken.api.labels import estimate_wrong, find_labels
from unshaken.data import load_data
from unshaken.labels.review.protocol import agreement_of
from unshaken.serve.review.exchange import Format, export_review, review_by_votes, verdict_words
from unshaken.serve.review.from_run import Choice, create_from_run
from unshaken.serve.review.store import ReviewStore

READERS, SETTLER = ("random1", "random2"), "random3"


def votes(column: str, split: str) -> dict[str, int]:
    """One person's labels by the id of the image."""
    data = load_data(f"cifar10n:{column}?split={split}")
    assert data.labels is not None
    return dict(zip(data.ids, data.labels.tolist(), strict=True))


def main() -> None:
    """Run the loop, and print each step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="Folder of all runs; a second call resumes.")
    parser.add_argument("--given", default="worse", help="Column of the labels that are searched.")
    parser.add_argument("--split", default="train", help="train (20,000) or full (50,000).")
    parser.add_argument("--model", default="small", help="Architecture that searches and is retrained.")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--review", type=int, default=1000, help="Labels drawn for the estimate.")
    parser.add_argument("--limit", type=int, help="So many images, for a trial.")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    spec = f"cifar10n:{given.given}?split={given.split}"
    search = find_labels(
        spec, model=given.model, folds=given.folds, epochs=given.epochs, review_size=given.review, limit=given.limit,
        out=given.out / "find", resume=(given.out / "find").exists(),
    )  # fmt: skip
    print(f"flagged: {search.summary['found']['confident-learning']['flagged']:,} of {search.summary['samples']:,}")

    people = {name: votes(name, given.split) for name in (*READERS, SETTLER)}
    with ReviewStore.open(given.out / "review.db") as store:
        there = [one.name for one in store.reviews()]
        for name in ("sample", "flagged"):
            if name not in there:
                create_from_run(store, search.run, name, choice=Choice(name))
            settled = review_by_votes(store, name, {r: people[r] for r in READERS}, (SETTLER, people[SETTLER]))
            found = agreement_of([one.independent for one in store.labels_at(name)])
            kappa = found.pairs[0].kappa
            shown = "undefined" if kappa is None else f"{kappa.value:.3f} ({kappa.low:.3f} to {kappa.high:.3f})"
            print(f"{name}: {store.review(name).items:,} reviewed, {settled:,} settled now, Cohen's kappa {shown}")
        ids = search.summary["review"]["ids"]
        share = estimate_wrong(search.run, verdict_words(store.outcome("sample"), ids))
        outcome = export_review(store, "flagged", Format.OVERLAY, given.out / "corrected.parquet")

    data = load_data(spec)
    assert data.labels is not None
    assert data.true_labels is not None
    rows = np.isin(data.ids, search.ids)
    truth = float((data.labels != data.true_labels)[rows].mean())
    label = dict(zip(data.ids, data.labels.tolist(), strict=True))
    wrong = [_panel(people, id) != label[id] for id in search.ids]
    print(f"estimated share wrong: {share.value:.4f} ({share.low:.4f} to {share.high:.4f})")
    print(f"by the same people's votes on all: {np.mean(wrong):.4f}; by the official labels: {truth:.4f}")
    corrected = load_data(f"{spec}&labels={given.out / 'corrected.parquet'}")
    assert corrected.labels is not None
    left = float((corrected.labels != data.true_labels)[rows].mean())
    print(f"wrong by the official labels after correction: {left:.4f}")

    pairs, began = [], time.perf_counter()
    for seed in range(given.seeds):
        audits = []
        for name, one in (("before", spec), ("after", f"{spec}&labels={given.out / 'corrected.parquet'}")):
            place, judged = given.out / f"{name}-{seed}", given.out / f"audit-{name}-{seed}"
            options = {"epochs": given.epochs, "limit": given.limit, "seed": seed, "check_every": given.epochs}
            if not (judged / "summary.json").exists():
                harden(given.model, one, out=place, resume=place.exists(), select="last", **options)
                audit(f"run:{place}", "cifar10?split=test", plan=[], out=judged, resume=judged.exists())
            audits.append(judged)
        pairs.append((audits[0], audits[1]))
        print(f"seed {seed}: trained and audited, {(time.perf_counter() - began) / 60:.1f} minutes", flush=True)
    found = compare_labels(
        given.out / "corrected.parquet", review=outcome, wrong=read_estimate(search.run), retrained=pairs,
        out=given.out / "changes",
    ).record["retrained"]  # fmt: skip
    for seed, one in enumerate(found["pairs"]):
        print(f"seed {seed}: {_points(one['difference'])} by retraining, p = {one['p_value']:.2g}")
    if found["mean"] is not None:
        print(f"mean over seeds: {_points(found['mean'])}")
    print(f"page: {given.out}/changes/report.html")


def _points(figure: dict[str, Any]) -> str:
    return f"{100 * figure['value']:+.1f} points ({100 * figure['low']:+.1f} to {100 * figure['high']:+.1f})"


def _panel(people: dict[str, dict[str, int]], id: str) -> int:
    """The label that the readers agree on, or else the settler's."""
    first, second = (people[reader][id] for reader in READERS)
    return first if first == second else people[SETTLER][id]


if __name__ == "__main__":
    main()
