"""Networks that several rows use: made once by `unshaken papers networks NAME`, and kept in the cache folder.

Packages of rows describe theirs in `networks.toml`, a table for each. A network lies in `papers/networks/NAME` below
the cache folder, as a training run that `run:DIR` loads, with `network.json` beside it: how it was made, its accuracy,
and the hash of its weights.
"""

from __future__ import annotations

import io
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unshaken.core.cache import cache_dir
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError, RunError, did_you_mean
from unshaken.core.registry import parse_method
from unshaken.core.texts import first_line
from unshaken.detect.engine.anatomy import penultimate
from unshaken.harden.engine.run import train_run
from unshaken.harden.engine.training import Training
from unshaken.measure import Figure, share
from unshaken.models import fingerprint, load_model
from unshaken.papers.cache import digest_of
from unshaken.papers.datasets import Split, read_split
from unshaken.papers.folders import package_folders
from unshaken.papers.networks import Net
from unshaken.papers.outcomes import accuracy_of, searched
from unshaken.papers.record import Record, now
from unshaken.papers.seen import DIGEST_SIZE, digests_of
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir
from unshaken.tasks.features.probes import fit_knn_probe

FILE = "networks.toml"
RECORD, LEARNED = "network.json", "learned.bin"


class SharedNetwork(BaseModel):
    """How a shared network is made and measured: a table of `networks.toml`.

    Args:
        summary: what it is, in a few words.
        model: an architecture or a SPEC, as `unshaken harden --model` takes it.
        data: SPEC of the images that it learns from.
        test: SPEC of those that it is measured on.
        methods: recipes, `NAME[:k=v,...]`; `{NAME}` in them stands for the SPEC of another shared network.
        training: options of `unshaken.harden.engine.training.Training`.
        hours: of training and measuring on two cores, measured or estimated.
        attack: `NAME[:k=v,...]` under which the accuracy is measured too; empty for none.
        eps: linf radius of that attack, in [0, 1] pixel units.
        attacked: number of test images that are attacked: a seeded, stratified draw.
        neighbours: images that vote by the cosine of penultimate features, where no head is trained; 0 to measure the
            head's accuracy.
        expected: value, lower and upper end of each figure of the network that `docs/networks.md` describes; empty
            while none has been made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    summary: str
    model: str
    data: str
    test: str
    methods: tuple[str, ...] = ()
    training: dict[str, Any]
    hours: float = Field(gt=0)
    attack: str = ""
    eps: float = Field(default=8 / 255, gt=0)
    attacked: int = Field(default=1000, ge=1)
    neighbours: int = Field(default=0, ge=0)
    expected: dict[str, tuple[float, float, float]] = {}

    @property
    def digest(self) -> str:
        """32 hexadecimal digits of what decides the weights."""
        return digest_of(self.model_dump(mode="json", include={"model", "data", "methods", "training"}))


class NetworkRecord(BaseModel):
    """`network.json`: how a shared network was made, and what was measured of it.

    Args:
        recipe: digest of its description.
        hash: SHA-256 of the network and its weights, as `unshaken.models.fingerprint` computes it; empty until it is
            finished.
        figures: accuracies with their intervals, by name.
        hours: of training, over all sittings.
        made: date, versions and machine.
    """

    model_config = ConfigDict(extra="forbid")

    schema_: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    recipe: str
    hash: str = ""
    figures: dict[str, dict[str, Any]] = {}
    hours: float = 0.0
    made: dict[str, Any] = {}


def list_networks() -> dict[str, SharedNetwork]:
    """All shared networks by name, in the order in which they are described.

    Raises:
        ParameterError: a description is wrong; the message has the file, the key and what to do.
    """
    return {name: entry for folder in package_folders() for name, entry in _described(folder / FILE).items()}


def make_network(name: str, *, download: bool = False) -> NetworkRecord:
    """Train a shared network, or resume its training, and measure it; one that is finished is left as it is.

    The same description gives the same weights on the same machine and number of threads, interrupted or not.

    Args:
        name: of `list_networks`.
        download: whether its data may be fetched.

    Raises:
        ParameterError: there is no such network.
        RunError: its folder holds a network of another description, or is damaged; or another process trains it.
        UnshakenError: data is absent, or a network that it learns from is not made yet.
    """
    entry, run = _find(name), RunDir(network_folder(name))
    record = _read(name, entry, run)
    if record is not None and record.hash:
        return load_network(name)[1]
    recipes = [parse_method(_with_specs(method), "harden") for method in entry.methods]
    training = Training(**entry.training)
    run.write_json(NetworkRecord(recipe=entry.digest).model_dump(mode="json", by_alias=True), RECORD)
    done = train_run(entry.model, entry.data, recipes, training, out=run.path, resume=True, download=download)
    learned = read_split(entry.data, download=download)
    run.write(b"".join(digests_of(learned.images)), LEARNED)
    figures = measure_network(entry, done.model, learned, read_split(entry.test, download=download))
    record = NetworkRecord(
        recipe=entry.digest,
        hash=fingerprint(load_model(f"run:{run.path}")),
        figures={key: figure.to_json() for key, figure in figures.items()},
        hours=round(done.summary["cost"]["seconds"] / 3600, 2),
        made={"date": now(), **provenance()},
    )
    run.write_json(record.model_dump(mode="json", by_alias=True), RECORD)
    return record


def measure_network(entry: SharedNetwork, model: Classifier, learned: Split, test: Split) -> dict[str, Figure]:
    """The accuracies that a shared network is known by, with Clopper-Pearson intervals.

    Args:
        entry: its description.
        model: in evaluation mode.
        learned: what it learned from; its neighbours vote where no head is trained.
        test: other images.

    Returns:
        `clean`, or `neighbours` where no head is trained; and `attacked` under the attack that the description names.
    """
    if entry.neighbours:
        features, _ = penultimate(model, learned.batch().images)
        probe = fit_knn_probe(features.numpy(), learned.labels.numpy(), k=entry.neighbours)
        votes = probe.predict(penultimate(model, test.batch().images)[0].numpy())
        return {"neighbours": share(int(np.sum(votes == test.labels.numpy())), len(test))}
    batch = test.batch()
    found = {"clean": _accuracy(model, batch.images, batch.labels)}
    if entry.attack:
        some = test.stratified(entry.attacked, 0).batch()
        attack = parse_method(entry.attack, "attack")
        examples = searched(model, attack, some, norm="linf", eps=entry.eps, seed=0, early=True)
        found["attacked"] = _accuracy(model, examples.images, some.labels)
    return found


def _accuracy(model: Classifier, images: Any, labels: Any) -> Figure:
    return share(round(accuracy_of(model, images, labels) * len(images)), len(images))


def load_network(name: str) -> tuple[Net, NetworkRecord]:
    """A shared network from its folder, in evaluation mode, and what is known of it.

    Args:
        name: of `list_networks`.

    Raises:
        ParameterError: there is no such network.
        RunError: it is not made yet, or its folder is damaged or holds another network: one line says which command
            makes it, and how long that takes.
    """
    entry, folder = _find(name), network_folder(name)
    record = _read(name, entry, RunDir(folder))
    if record is None or not record.hash:
        raise RunError(f"network {name!r} is {network_state(name)[0]}: {_makes(name, entry)}")
    again = f"delete the folder, and {_makes(name, entry, 'again ')}"
    try:
        model = load_model(f"run:{folder}").eval()
    except ModelError as error:
        raise RunError(f"{folder}: network {name!r} is damaged ({first_line(error)}): {again}") from None
    if (found := fingerprint(model)) != record.hash:
        raise RunError(
            f"{folder}: the weights of network {name!r} have the hash {found[:12]}, not {record.hash[:12]} of the "
            f"network as it was measured: {again}"
        )
    return Net(model, record.hash, seconds=3600 * record.hours), record


def shared_net(name: str, record: Record) -> Net:
    """A shared network for an experiment, whose record notes its accuracy, its hash and what it learned from.

    Args:
        name: of `list_networks`.
        record: of the run.

    Raises:
        UnshakenError: see `load_network`.
    """
    net, known = load_network(name)
    learned = RunDir(network_folder(name)).read(LEARNED)
    record.add_learned(learned[i : i + DIGEST_SIZE] for i in range(0, len(learned), DIGEST_SIZE))
    figures = {"hash": known.hash, "figures": known.figures}
    record.add_network(f"shared network {name}", known.hash, cached=True, made={**known.made, **figures})
    return net


def network_state(name: str) -> tuple[str, NetworkRecord | None]:
    """State of a shared network in words, and its record once it is made.

    Returns:
        `made`, with the figures whose intervals are apart from those expected; `not made yet`; `trained for 3 of 20
        epochs`; or what is wrong with its folder, and what to do.

    Raises:
        ParameterError: there is no such network.
    """
    entry, run = _find(name), RunDir(network_folder(name))
    try:
        record = _read(name, entry, run)
    except RunError as error:
        return str(error), None
    if record is not None and record.hash:
        apart = [
            f", {key} not in {low:.3f} to {high:.3f} as expected"
            for key, (_, low, high) in entry.expected.items()
            if key not in record.figures or record.figures[key]["high"] < low or record.figures[key]["low"] > high
        ]
        return f"made{''.join(apart)}", record
    if not run.exists("curves.parquet"):
        return "not made yet", None
    done = pq.read_metadata(io.BytesIO(run.read("curves.parquet"))).num_rows
    return f"trained for {done} of {Training(**entry.training).epochs} epochs", None


def network_folder(name: str) -> Path:
    """The folder of a shared network."""
    return cache_dir() / "papers" / "networks" / name


def _find(name: str) -> SharedNetwork:
    known = list_networks()
    if name not in known:
        raise ParameterError(f"no shared network {name!r}; {did_you_mean(name, known)}")
    return known[name]


def _makes(name: str, entry: SharedNetwork, again: str = "") -> str:
    return f"'unshaken papers networks {name}' makes it {again}in about {entry.hours:g} hours on two cores"


@cache
def _described(path: Path) -> Mapping[str, SharedNetwork]:
    if not path.is_file():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: SharedNetwork.model_validate(table) for name, table in tables.items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ParameterError(f"{path}: cannot be read ({first_line(error)}): correct it") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ParameterError(
            f"{path}: {'.'.join(map(str, first['loc']))!r}: {first['msg'].lower()}: change it"
        ) from None


def _with_specs(method: str) -> str:
    """A recipe with the SPECs of the shared networks that it names, all of which are made."""
    for name in list_networks():
        if f"{{{name}}}" in method:
            load_network(name)
            method = method.replace(f"{{{name}}}", f"run:{network_folder(name)}")
    return method


def _read(name: str, entry: SharedNetwork, run: RunDir) -> NetworkRecord | None:
    """The record in a network's folder; None where there is none.

    Raises:
        RunError: it is damaged, or of another description.
    """
    if not run.exists(RECORD):
        return None
    again = f"delete the folder, and {_makes(name, entry, 'again ')}"
    try:
        record = NetworkRecord.model_validate(run.read_json(RECORD))
    except (RunError, ValidationError) as error:
        raise RunError(f"{run}: {RECORD} is damaged ({first_line(error)}): {again}") from None
    if record.recipe != entry.digest:
        raise RunError(f"{run}: network {name!r} was made by another recipe: {again}")
    return record
