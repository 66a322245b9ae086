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
from unshaken.explain.engine.layer_features import layer_features
from unshaken.papers.cache import digest_tensors
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split, prepared
from unshaken.tasks.few_shot import draw_episodes
from unshaken.tasks.few_shot.channel_projection import ChannelProjection, fit_channels
from unshaken.tasks.few_shot.conditional import ConditionalHead, last_maps
from unshaken.tasks.few_shot.episodes import run_pair_episodes
from unshaken.tasks.few_shot.pair_training import score_pairs, separation, train_pairs
from unshaken_papers.crlnet import ARMS, CLEAN, CONDITIONAL, CONDITIONS, POOLED, CrlNetPaper


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
    """Maps of each seed's own images, and both heads and the pooled cosine on them."""
    training, testing = (context.datasets.read(split) for split in ("train", "test"))
    model = context.load_model(context.model)
    with track("crlnet", paper.seeds) as task:
        for part in context.repetitions(paper.seeds):
            if not all(part.has(arm, "pairs") for arm in ARMS):
                maps = maps_of(model, *divide(paper, training, testing, part.seed), paper.channels, part.seed)
                for arm in ARMS:
                    evaluate(paper, part, arm, maps)
            task.advance()


def divide(paper: CrlNetPaper, training: Split, testing: Split, seed: int) -> tuple[Split, Split, Split]:
    """Base images, examples and queries of a seed: half of the classes are learned, the others are new.

    Test images follow each other in their class, so that seeds share none as long as there are enough.

    Returns:
        Base images of the split for training; examples and queries of the new classes, of the one for tests.

    Raises:
        DataError: there are fewer than four classes, or too few images.
    """
    half = training.classes // 2
    if half < 2:
        raise DataError(f"{training.classes} classes are too few: two to train on and two new ones are needed")
    order = torch.randperm(training.classes, generator=torch.Generator().manual_seed(seed))
    base = training[torch.isin(training.labels, order[:half])].stratified(paper.base, seed)
    rows = [torch.nonzero(testing.labels == c).flatten() for c in order[half:].sort().values]
    wanted = paper.supports + paper.queries
    if (least := min(len(r) for r in rows)) < wanted:
        raise DataError(
            f"a new class has {least} test images, and {paper.supports} examples and {paper.queries} queries are "
            "wanted: lower them"
        )
    rows = [r.roll(-wanted * seed) for r in rows]
    supports = testing[torch.cat([r[: paper.supports] for r in rows])]
    return base, supports, testing[torch.cat([r[paper.supports : wanted] for r in rows])]


def maps_of(model: Classifier, base: Split, supports: Split, queries: Split, channels: int, seed: int) -> Maps:
    """Maps of images as they are, and of base images and queries in all conditions."""
    layer = last_maps(model, prepared(model, base.images[:1]).float() / 255)

    def raw(images: Tensor) -> Tensor:
        return layer_features(model, prepared(model, images), [layer], pool="maps", cache=False)[layer]

    clean = raw(base.images)
    project: ChannelProjection = fit_channels(clean, channels)
    return Maps(
        project(clean),
        torch.cat([project(raw(changed(base, name, seed))) for name in CONDITIONS]),
        base.labels,
        project(raw(supports.images)),
        supports.labels,
        {
            CLEAN: project(raw(queries.images)),
            **{name: project(raw(changed(queries, name, seed))) for name in CONDITIONS},
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
