"""Maps computed once, heads trained on pairs of them, and episodes of new classes under each condition."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.core.registry import find_method
from unshaken.core.rng import seeded
from unshaken.models.layer_features import layer_features
from unshaken.papers.cache import digest_tensors
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split, prepared
from unshaken.tasks.few_shot import draw_episodes
from unshaken.tasks.few_shot.channel_projection import ChannelProjection, fit_channels
from unshaken.tasks.few_shot.conditional import ConditionalHead, last_maps
from unshaken.tasks.few_shot.episodes import run_pair_episodes
from unshaken.tasks.few_shot.pair_training import score_pairs, separation, train_pairs
from unshaken_papers.crlnet import CLEAN, CONDITIONAL, CONDITIONS, CONTROL, POOLED, CrlNetPaper


@dataclass(frozen=True, slots=True)
class Maps:
    """Maps of all images, projected.

    Args:
        base: of clean base images, `[N, C, h, h]`.
        hard: of the same images in each condition, one after another, `[3 N, C, h, h]`.
        labels: of the base images, int64 `[N]`.
        supports: of the examples of new classes.
        support_labels: theirs.
        queries: condition to maps of the queries.
        query_labels: theirs, the same under every condition.
    """

    base: Tensor
    hard: Tensor
    labels: Tensor
    supports: Tensor
    support_labels: Tensor
    queries: dict[str, Tensor]
    query_labels: Tensor


def run(paper: CrlNetPaper, context: Context) -> None:
    """Maps once; then both heads and the pooled cosine in each seed."""
    training, testing = (context.datasets.read(split) for split in ("train", "test"))
    model = context.load_model(context.model)
    maps = maps_of(paper, context, model, training, testing)
    with track("crlnet", 2 * paper.seeds) as task:
        for part in context.repetitions(paper.seeds):
            for arm in (POOLED, CONTROL, CONDITIONAL):
                evaluate(paper, part, arm, maps)
            task.advance(2)


def maps_of(paper: CrlNetPaper, context: Context, model: Classifier, training: Split, testing: Split) -> Maps:
    """Divide the classes in two halves; base images are for training, new classes come from the test images.

    Raises:
        DataError: there are fewer than four classes, or too few images.
    """
    half = training.classes // 2
    if half < 2:
        raise DataError(f"{training.classes} classes are too few: two to train on and two new ones are needed")
    base = training[training.labels < half].stratified(paper.base, context.seed)
    new = testing[testing.labels >= half]
    rows = [torch.nonzero(new.labels == c).flatten() for c in range(half, training.classes)]
    wanted = paper.supports + paper.queries
    if min(len(r) for r in rows) < wanted:
        raise DataError(
            f"a new class has {min(len(r) for r in rows)} test images, and {paper.supports} examples and "
            f"{paper.queries} queries are wanted: lower them"
        )
    rows = [r.roll(-wanted * context.seed) for r in rows]
    supports = new[torch.cat([r[: paper.supports] for r in rows])]
    queries = new[torch.cat([r[paper.supports : wanted] for r in rows])]
    layer = last_maps(model, prepared(model, base.images[:1]).float() / 255)

    def raw(images: Tensor) -> Tensor:
        return layer_features(model, prepared(model, images), [layer], pool="maps", cache=False)[layer]

    clean = raw(base.images)
    project: ChannelProjection = fit_channels(clean, paper.channels)
    return Maps(
        project(clean),
        torch.cat([project(raw(changed(base, name, context.seed))) for name in CONDITIONS]),
        base.labels,
        project(raw(supports.images)),
        supports.labels,
        {
            CLEAN: project(raw(queries.images)),
            **{name: project(raw(changed(queries, name, context.seed))) for name in CONDITIONS},
        },
        queries.labels,
    )


def changed(split: Split, condition: str, seed: int) -> Tensor:
    """Images under a condition, uint8."""
    name, severity = CONDITIONS[condition]
    batch: Batch = find_method(name).cls().apply(split.batch(), severity, seed)
    return batch.images.mul(255).round().byte()


def evaluate(paper: CrlNetPaper, context: Context, arm: str, maps: Maps) -> None:
    """Train a head, if the arm has one, and write the accuracy of each episode of each condition."""
    if context.has(arm, "pairs"):
        return
    head = trained(paper, context, arm, maps)
    ways = len(maps.support_labels.unique_consecutive())  # type: ignore[no-untyped-call]
    drawn = draw_episodes(
        maps.support_labels.numpy(), query_labels=maps.query_labels.numpy(), ways=min(5, ways), shots=1,
        queries=min(15, paper.queries), episodes=paper.episodes, seed=context.seed,
    )  # fmt: skip
    same, apart = maps.query_labels[:, None] == maps.support_labels, {}
    for condition, queries in maps.queries.items():
        scores = pooled_scores(maps.supports, queries) if head is None else score_pairs(head, maps.supports, queries)
        accuracies = run_pair_episodes(drawn, scores).mean((1, 2)).tolist()
        ids = [f"episode{i}" for i in range(len(drawn))]
        context.write("episodes", f"{arm}.{condition}", {"id": ids, "accuracy": accuracies})
        apart[condition] = separation(scores, same)
    context.write("pairs", arm, {"id": list(apart), "separation": list(apart.values())})


def trained(paper: CrlNetPaper, context: Context, arm: str, maps: Maps) -> ConditionalHead | None:
    """A head, from the cache or trained on pairs of clean examples and queries in all conditions; None for none."""
    if arm == POOLED:
        return None
    queries = torch.cat([maps.base, maps.hard])
    repeats = len(queries) // len(maps.base)
    head = fresh_head(paper, arm, maps, context.seed)
    settings = {"steps": paper.steps, "batch_size": paper.pairs, "seed": context.seed}

    def make() -> dict[str, Tensor]:
        train_pairs(head, maps.base.repeat(repeats, 1, 1, 1), queries, maps.labels.repeat(repeats), **settings)
        return dict(head.state_dict())

    key = {**settings, "arm": arm, "hidden": paper.hidden, "maps": digest_tensors({"queries": queries})}
    weights = context.weights(arm, key, make, [train_pairs, ConditionalHead, fit_channels])
    head.load_state_dict(weights)
    return head.eval()


def fresh_head(paper: CrlNetPaper, arm: str, maps: Maps, seed: int) -> ConditionalHead:
    """With weights drawn from a seed."""
    with seeded(seed):
        side = maps.base.shape[-1]
        return ConditionalHead(paper.channels, side, hidden=paper.hidden, conditional=arm == CONDITIONAL)


def pooled_scores(supports: Tensor, queries: Tensor) -> Tensor:
    """Cosines of the means over places, `[M, N]`."""
    one, other = (F.normalize(m.mean((2, 3)), dim=1) for m in (queries, supports))
    return one @ other.T
