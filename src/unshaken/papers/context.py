"""`Context`: what an experiment is given: data, networks, attacks and forward passes that end as rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from unshaken.attack.engine.base import Attack
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.core.part import Condition, Part
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.models import fingerprint, load_model
from unshaken.papers.cache import digest_of
from unshaken.papers.datasets import Datasets, Split
from unshaken.papers.networks import Architecture, Net, Networks, Statistics
from unshaken.papers.outcomes import Examples, Render, evaluated, predicted, read_examples, searched
from unshaken.papers.record import Record
from unshaken.papers.rows import Rows, seeds_of
from unshaken.papers.seen import digests_of
from unshaken.papers.shared import shared_net
from unshaken.papers.tables import fill_columns, table_name
from unshaken.run.adapters import Line, conditions_of
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of


@dataclass(frozen=True, slots=True)
class Context:
    """An experiment at work.

    Methods that write rows do nothing where these are there already: a run is resumed by running the experiment again.

    Args:
        slug: of the paper.
        seed: the run seed.
        run: the run directory.
        data: SPEC: the paper's, or the user's in its place.
        model: SPEC: likewise.
        own: whether data or model are the user's.
        record: settings, inputs and networks.
        datasets: reads images.
        download: whether sources may be fetched.
        chooses: which rows serve to choose by, as `Paper.chooses`.
        prefix: stands before the labels of all conditions; see `within`.
    """

    slug: str
    seed: int
    run: RunDir
    data: str
    model: str
    own: bool
    record: Record
    datasets: Datasets
    download: bool = False
    chooses: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""

    def within(self, name: str) -> Context:
        """The same experiment, with `<name>.` before all labels, and the names of networks and steps."""
        return replace(self, prefix=f"{self.prefix}{name}.")

    def seeds(self, count: int) -> range:
        """Seeds of the experiment's repetitions: `count` for each run seed, none shared between two."""
        return seeds_of(self.seed, count)

    def repetitions(self, count: int) -> list[Context]:
        """The same experiment for each of its seeds, which is the context's own then, with `seed0.` before labels."""
        return [replace(self.within(f"seed{seed}"), seed=seed) for seed in self.seeds(count)]

    def net(
        self,
        name: str,
        start: Architecture | Classifier | Net,
        data: Split,
        training: Training,
        recipes: Sequence[str | Recipe] = (),
        *,
        statistics: Statistics = "data",
    ) -> Net:
        """A network from the cache, or trained; see `Networks.net`."""
        return Networks(self.record).net(self.id(name), start, data, training, recipes, statistics=statistics)

    def shared_net(self, name: str) -> Net:
        """A network that several rows use, made by `unshaken papers networks NAME`; see `shared.load_network`.

        Raises:
            RunError: it is not made yet; the message has the command and the hours.
        """
        return shared_net(name, self.record)

    def weights(
        self, name: str, key: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]], code: Sequence[Any]
    ) -> dict[str, Tensor]:
        """Weights of what no recipe trains, from the cache or made; see `Networks.weights`."""
        return Networks(self.record).weights(self.id(name), key, make, code)

    def load_model(self, spec: str) -> Classifier:
        """A user's model, in evaluation mode; its weights are pinned with the run.

        Raises:
            UnshakenError: it is absent or no classifier, or has changed since the directory's first rows.
        """
        model = load_model(spec, download=self.download).eval()
        self.record.add_input(f"model {spec}", fingerprint(model))
        return model

    def load_models(self, count: int, which: str, example: str) -> list[Classifier]:
        """A user's models, named in one text as `A|B`; see `load_model`.

        Args:
            count: how many there must be.
            which: what they are, for the message.
            example: such a text.

        Raises:
            ParameterError: another number is named.
        """
        specs = [spec.strip() for spec in self.model.split("|")]
        if len(specs) != count or not all(specs):
            raise ParameterError(f"{self.slug}: model {self.model!r}: name {which}, as in {example!r}")
        return [self.load_model(spec) for spec in specs]

    def refuse_model(self, own: str, advice: str) -> None:
        """Refuse a user's model.

        Args:
            own: what stands for the experiment's own networks.
            advice: what to do instead.

        Raises:
            ParameterError: a model is given.
        """
        if self.model != own:
            raise ParameterError(f"{self.slug} trains its own networks and takes no model ({self.model!r}): {advice}")

    def once(self, name: str, key: Any, compute: Callable[[], Any]) -> Any:
        """A JSON value that is computed once and kept in the run directory.

        Args:
            name: unique in the run.
            key: JSON value that decides it beside the run's settings; another one computes it again.
            compute: gives it.
        """
        place, digest = ("steps", f"{self.id(name)}.json"), digest_of(key)
        if self.run.exists(*place) and (kept := self.run.read_json(*place))["key"] == digest:
            return kept["value"]
        value = json.loads(json.dumps(compute()))
        self.run.write_json({"key": digest, "value": value}, *place)
        return value

    def id(self, label: str) -> str:
        """The id of a condition: the label behind the prefix."""
        return self.prefix + label

    def rows(self) -> Rows:
        """The rows that are there now, for what an experiment decides by them; labels bear the same prefix."""
        return Rows(self.run, self.slug, self.seed, self.prefix, self.chooses, apart=True)

    def has(self, label: str, table: str = "outcomes", shard: int = 0) -> bool:
        """Whether the rows of a condition are finished; `shard` as in `keep`."""
        return self.run.has_rows(table_name(self.slug, table), self.id(label), shard)

    def write(
        self, table: str, label: str, columns: Mapping[str, Any] | Sequence[Mapping[str, Any]], shard: int = 0
    ) -> None:
        """Write the rows of a condition to a table that the paper declares.

        Args:
            table: its declared name.
            label: of the condition.
            columns: column name to values, one a row; `id` among them. A single value stands for all rows. Or a list
                of such parts, whose rows follow each other.
            shard: as in `keep`.
        """
        rows = fill_columns(columns)
        self.keep([Part(table_name(self.slug, table), Condition(self.id(label), self.slug), rows)], shard)

    def keep(self, parts: Sequence[Part], shard: int = 0) -> None:
        """Write rows that a method made; conditions bear their full ids. The last part says that all are there.

        Args:
            parts: the rows.
            shard: which part of the samples, for experiments that work on one part after another.
        """
        for part in parts:
            self.run.write_rows(table_of(part), part.table, part.condition.id, shard)
        self.record.worked()

    def predict(
        self, label: str, model: Classifier, batch: Batch, *, examples: Examples | None = None,
        method: str = "clean", severity: int | None = None,
    ) -> None:  # fmt: skip
        """Outcome rows of a model on images, or on adversarial examples made of them.

        Args:
            label: of the condition.
            model: the classifier that is evaluated.
            batch: labelled images.
            examples: shown in the place of the images; the cost of their search is added to each row.
            method: what changed the images, if not an attack: the registry name of a stressor.
            severity: of the stressor.
        """
        if not self.has(label):
            self._note(label, batch)
            self.keep([predicted(Condition(self.id(label), method, severity=severity), model, batch, examples)])

    def search(
        self, model: Classifier, attack: Attack[Any], batch: Batch, *, norm: str, eps: float, seed: int,
        early: bool = False,
    ) -> Examples:  # fmt: skip
        """Adversarial examples, to be shown to one model or more by `predict`; see `searched`."""
        return searched(model, attack, batch, norm=norm, eps=eps, seed=seed, early=early)

    def attack(
        self, label: str, model: Classifier, attack: Attack[Any], batch: Batch, *, norm: str, eps: float, seed: int,
        early: bool = False, source: Classifier | None = None,
    ) -> None:  # fmt: skip
        """Outcome rows of a model on examples made on it, or on another one, the `source`."""
        if not self.has(label):
            found = self.search(source or model, attack, batch, norm=norm, eps=eps, seed=seed, early=early)
            self.predict(label, model, batch, examples=found)

    def evaluate(
        self, label: str, method: Any, model: Classifier, batch: Batch, *, severities: Sequence[int] = (),
        eps: Sequence[float] = (), norm: str = "linf", seed: int | None = None, keep_images: bool = False,
        render: Render | None = None,
    ) -> None:  # fmt: skip
        """Rows of a registered method as `unshaken audit` makes them, under `<label>-...` as it names its conditions.

        Budgets are searched together: what a smaller one fools is not attacked again.

        Args:
            label: in front of the method's own condition ids.
            method: an attack, certifier or stressor that `run.adapters` makes conditions of, as of a line of a plan.
            model: the classifier that is evaluated.
            batch: labelled images.
            severities: of a stressor.
            eps: budgets in [0, 1] pixel units under the norm.
            norm: `linf`, `l2` or `l1`.
            seed: of the method; default the run seed.
            keep_images: keep the changed images, for `examples`.
            render: of objects, for attacks by viewpoint.
        """
        conditions = conditions_of(method, Line(self.id(label), severities=severities, eps=eps, norm=norm))
        left = {c.id for c in conditions if not self.run.has_rows("outcomes", c.id, 0)}
        if left:
            self._note(label, batch)
        chosen = self.seed if seed is None else seed
        parts = evaluated(conditions, method, model, batch, chosen, render) if left else []
        for part in (p for p in parts if p.condition.id in left):
            if keep_images and part.images is not None:
                images = part.images(torch.arange(len(batch)))
                self.run.write_examples(images, list(batch.ids), part.condition.id, 0)
            self.keep([part])

    def _note(self, label: str, batch: Batch) -> None:
        """Note where images are shown that networks of this run learned from."""
        self.record.add_seen(self.id(label), digests_of(batch.images.mul(255).round().byte()))

    def examples(self, label: str, batch: Batch) -> Examples:
        """The images that `evaluate` kept, with the cost of their search.

        Args:
            label: of the condition.
            batch: the samples, all among those that were evaluated.
        """
        return read_examples(self.run.examples(self.id(label)), self.rows().table("outcomes", label), batch)
