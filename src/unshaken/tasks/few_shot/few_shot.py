"""`few-shot`: classes recognised by a few examples of each, on the features of a network that is left as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import INPUT
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import register
from unshaken.core.rng import seeded
from unshaken.core.tables import declare_table
from unshaken.explain.engine.layer_features import Pool
from unshaken.harden.engine.layers import last_layer
from unshaken.measure import Figure
from unshaken.measure.few_shot import episode_accuracy, episode_difference
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.means import mean_figure
from unshaken.tasks.evaluation import Evaluation, EvaluationFindings, EvaluationSubject, Listing
from unshaken.tasks.features.samples import SampleFeatures, read_features, with_classes_of
from unshaken.tasks.few_shot.channel_projection import ChannelProjection, fit_channels
from unshaken.tasks.few_shot.conditional import ConditionalHead, last_maps
from unshaken.tasks.few_shot.episodes import (
    Episodes,
    draw_episodes,
    knn_scores,
    prototype_scores,
    run_episodes,
    run_pair_episodes,
)
from unshaken.tasks.few_shot.pair_training import score_pairs, train_pairs

Head = Literal["prototypes", "knn", "conditional", "unconditional"]
TRAINED = ("conditional", "unconditional")
"""Heads that are trained on pairs of images of base classes: the published one, and its control."""

FEW_SHOT = declare_table(
    "few_shot",
    "condition string, method string, head string, shots int64, episode int64, label int64, name string, "
    "correct int64, queries int64",
)
"""A class of an episode a row: how many of its queries were classified correctly."""


@register("few-shot", reference="Snell et al. 2017, arXiv:1703.05175; Conditional Representation Learning")
class FewShot(Evaluation):
    """Accuracy on classes that a network was not trained on, from a few examples of each, by episodes.

    An episode draws classes, examples and queries of each; nothing of the network is trained. Intervals are over
    classes and episodes, since more episodes of the same classes say nothing of other classes.
    """

    title: ClassVar[str] = "How well do a few examples tell classes apart?"
    measures: ClassVar[tuple[str, ...]] = ("accuracy", "difference")

    ways: int = Field(default=5, ge=2, description="classes of an episode")
    shots: tuple[int, ...] = Field(
        default=(1, 5), min_length=1, description="examples of each class; several are tried apart"
    )
    queries: int = Field(default=15, ge=1, description="queries of each class")
    episodes: int = Field(default=600, ge=1, le=100_000, description="episodes of each number of examples")
    heads: tuple[Head, ...] = Field(
        default=("prototypes", "knn"),
        min_length=1,
        description="classifiers of few examples; conditional is trained on base, unconditional is its control",
    )
    layer: str = Field(
        default="", description="layer whose output is the feature; default what enters the last linear layer"
    )
    k: int = Field(default=5, ge=1, description="examples that vote in knn")
    query_data: str = Field(
        default="", description="data SPEC of the queries, such as harder photos; default the data itself"
    )
    base: str = Field(default="", description="data SPEC of other classes, on which the conditional heads are trained")
    steps: int = Field(default=300, ge=1, description="steps of their training")
    channels: int = Field(
        default=64, ge=8, multiple_of=8, description="channels that they keep of the last square maps"
    )
    hidden: int = Field(default=512, ge=1, description="units of their hidden layers")

    @property
    @override
    def further_data(self) -> tuple[str, ...]:
        return tuple(spec for spec in (self.query_data, self.base) if spec)

    @override
    def judge(self, subject: EvaluationSubject) -> EvaluationFindings:
        layer = self.layer or last_layer(subject.model.net) + INPUT
        samples = read_features(subject, "features", [layer], pool="flat")
        asked = self._queries(subject, samples, "queries", layer, "flat")
        drawn = {
            k: draw_episodes(
                samples.labels.numpy(), ways=self.ways, shots=k, queries=self.queries, episodes=self.episodes,
                seed=subject.seed, query_labels=None if asked is samples else asked.labels.numpy(),
            )
            for k in self.shots
        }  # fmt: skip
        shares: dict[str, Numbers] = {}
        heads: dict[str, Callable[[Episodes], NDArray[np.bool_]]] = {}
        for name in self.heads:
            for k in self.shots:
                part = f"{name}_{k}-shot"

                def make(name: str = name, k: int = k) -> Mapping[str, Sequence[Any]]:
                    if name not in heads:
                        heads[name] = self._head(name, subject, samples, asked)
                    return _columns(name, k, drawn[k], heads[name](drawn[k]), samples)

                rows = subject.rows("few_shot", part, make)
                share = np.array(rows["correct"].to_pylist(), np.float64) / np.array(rows["queries"].to_pylist())
                shares[part] = share.reshape(-1, self.ways)
        return self._findings(subject.model.classes, samples, drawn, shares)

    @override
    def check(self, subject: EvaluationSubject) -> None:
        for name, values in (("shots", self.shots), ("heads", self.heads)):
            if len({*values}) != len(values):
                raise ParameterError(f"few-shot: {name} names one twice: name each once")
        if min(self.shots) < 1:
            raise ParameterError(f"few-shot: shots must be 1 or more, not {min(self.shots)}")
        trained = [name for name in self.heads if name in TRAINED]
        if trained and not self.base:
            raise ParameterError(
                f"few-shot: the head {trained[0]} is trained on images of other classes: name them by base=SPEC"
            )

    def _queries(
        self, subject: EvaluationSubject, samples: SampleFeatures, part: str, layer: str, pool: Pool
    ) -> SampleFeatures:
        """The pool that queries are drawn from: the samples themselves, or other data of the same classes."""
        if not self.query_data:
            return samples
        return with_classes_of(samples, read_features(subject.with_data(self.query_data), part, [layer], pool=pool))

    def _head(
        self, name: str, subject: EvaluationSubject, samples: SampleFeatures, asked: SampleFeatures
    ) -> Callable[[Episodes], NDArray[np.bool_]]:
        """The function that classifies the queries of episodes by a head."""
        if name in TRAINED:
            return self._trained(name, subject)
        features, queries = (next(iter(each.features.values())) for each in (samples, asked))
        scores = prototype_scores if name == "prototypes" else partial(knn_scores, k=self.k)
        return lambda episodes: run_episodes(episodes, features, scores, query_features=queries)

    def _trained(self, name: str, subject: EvaluationSubject) -> Callable[[Episodes], NDArray[np.bool_]]:
        """A head on square maps, trained on pairs of base images."""
        layer = last_maps(subject.model, next(iter(subject.batches())).images[:1])
        own = read_features(subject, "maps", [layer], pool="maps")
        asked = self._queries(subject, own, "query maps", layer, "maps")
        base = read_features(subject.with_data(self.base), "base", [layer], pool="maps")
        if shared := sorted({*own.classes} & {*base.classes}):
            raise DataError(
                f"few-shot: base {self.base!r} has classes of the data, such as {shared[0]!r}: give others, or the "
                "figures are not of new classes"
            )
        sizes = {each.features[layer].shape[2:] for each in (own, asked, base)}
        if len(sizes) > 1:
            raise DataError(
                f"few-shot: maps of data, queries and base are of {len(sizes)} sizes, such as "
                f"{' and '.join(f'{h} x {w}' for h, w in sorted(sizes)[:2])}: give images of one size, as by ?size=32"
            )
        project: ChannelProjection = fit_channels(base.features[layer], self.channels)
        maps, queries, learned = (project(each.features[layer]) for each in (own, asked, base))

        with seeded(subject.seed):
            head = ConditionalHead(self.channels, maps.shape[-1], hidden=self.hidden, conditional=name == "conditional")

        def make() -> dict[str, Tensor]:
            train_pairs(head, learned, learned, base.labels, steps=self.steps, seed=subject.seed)
            return dict(head.state_dict())

        head.load_state_dict(subject.arrays(name, make))

        def classify(episodes: Episodes) -> NDArray[np.bool_]:
            rows, examples = (each.reshape(len(episodes), -1) for each in (episodes.queries, episodes.support))
            both = np.stack(np.broadcast_arrays(rows[:, :, None], examples[:, None]), -1).reshape(-1, 2)
            pairs = torch.from_numpy(np.unique(both, axis=0))
            return run_pair_episodes(episodes, score_pairs(head.eval(), maps, queries, pairs))

        return classify

    def _findings(
        self, known: Sequence[str], samples: SampleFeatures, drawn: Mapping[int, Episodes],
        shares: Mapping[str, Numbers],
    ) -> EvaluationFindings:  # fmt: skip
        figures, answer, first = dict[str, Figure](), list[str](), self.heads[0]
        for k in self.shots:
            classes, own = drawn[k].classes, f"{first}_{k}-shot"
            figures[f"accuracy_{own}"] = found = episode_accuracy(shares[own], classes)
            many = "1 example" if k == 1 else f"{k} examples"
            answer.append(
                f"From {many} a class, {first} tells {self.ways} classes apart in {100 * found.value:.1f} % of "
                f"the queries ({100 * found.low:.1f} to {100 * found.high:.1f} %); guessing gets "
                f"{100 / self.ways:.1f} %."
            )
            for name in self.heads[1:]:
                other = shares[f"{name}_{k}-shot"]
                figures[f"accuracy_{name}_{k}-shot"] = episode_accuracy(other, classes)
                figures[f"difference_{name}_{k}-shot"] = episode_difference(shares[own], other, classes)
        columns = [(f"accuracy, {k}-shot", f"accuracy_{{}}_{k}-shot") for k in self.shots]
        columns += [
            (f"{k}-shot, points above {first}", f"difference_{{}}_{k}-shot") for k in self.shots if self.heads[1:]
        ]
        caption = (
            f"Accuracy over {self.episodes:,} episodes of {self.ways} classes; intervals are over classes and "
            "episodes. Heads are compared on the same episodes."
        )
        rows = tuple((name, *(figures.get(key.format(name)) for _, key in columns)) for name in self.heads)
        heads = Listing(caption, ("head", *(title for title, _ in columns)), rows)
        (features,) = samples.features.values()
        pool = len({*samples.labels.tolist()})
        remarks = [f"{samples.unlabelled} samples have no label and were left out"] if samples.unlabelled else []
        if own_classes := sorted({*samples.classes} & {*known}):
            remarks.append(
                f"{len(own_classes)} of the classes, such as {own_classes[0]!r}, are among those of the model: on "
                "new ones expect less"
            )
        if pool < 3 * self.ways:
            remarks.append(f"{pool} classes are few to draw {self.ways} from, so the intervals over classes are wide")
        return EvaluationFindings(
            rows={}, figures=figures, remarks=tuple(remarks), answer=tuple(answer),
            listings=(heads, self._by_class(samples, drawn, shares)),
            extra={"classes": pool, "features": features.shape[1]}, forwards=len(features),
        )  # fmt: skip

    def _by_class(
        self, samples: SampleFeatures, drawn: Mapping[int, Episodes], shares: Mapping[str, Numbers]
    ) -> Listing:
        """Accuracy of each class by the first head, the hardest first."""
        k, name = self.shots[-1], self.heads[0]
        classes, values = drawn[k].classes, shares[f"{name}_{k}-shot"]
        found = {c: mean_figure(values[classes == c], low=0.0, high=1.0) for c in np.unique(classes).tolist()}
        order = sorted(found, key=lambda c: found[c].value)
        caption = f"Accuracy of each class by {name}, {k}-shot, the hardest first; intervals are over episodes."
        return Listing(caption, ("class", "accuracy"), tuple((samples.name_of(c), found[c]) for c in order))


def _columns(
    name: str, shots: int, episodes: Episodes, correct: NDArray[np.bool_], samples: SampleFeatures
) -> dict[str, Sequence[Any]]:
    """Columns of the rows of one head and number of examples."""
    labels = episodes.classes.ravel().tolist()
    n, (count, ways) = len(labels), episodes.classes.shape
    return {
        "head": [name] * n, "shots": [shots] * n, "episode": np.arange(count).repeat(ways).tolist(), "label": labels,
        "name": [samples.name_of(label) for label in labels], "correct": correct.sum(2).ravel().tolist(),
        "queries": [correct.shape[2]] * n,
    }  # fmt: skip
