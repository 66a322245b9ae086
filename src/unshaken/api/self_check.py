"""`self_check`: every room does a little work on every device, and its figures are compared with the CPU's."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unshaken.api.audit import audit
from unshaken.api.detect import detect
from unshaken.api.explain import explain
from unshaken.api.generate import fit_generator, images_in_memory, sample_generator
from unshaken.api.harden import harden
from unshaken.api.labels import find_labels
from unshaken.core.device import accelerator, count_devices, find_device
from unshaken.core.errors import MissingExtra
from unshaken.core.progress import track
from unshaken.data import load_data
from unshaken.detect import fit
from unshaken.generate import Fitting
from unshaken.harden.engine.fit import fresh
from unshaken.models import load_model
from unshaken.run import Interrupted
from unshaken.run.cost import LongRunWarning
from unshaken.store.run_dir import RunDir
from unshaken.tasks.features import frozen_features
from unshaken.tasks.few_shot import draw_episodes, run_episodes

IMAGES = 40
"""Images that are corrupted, attacked and scored. One verdict in as many may differ from the CPU's."""
CERTIFIED, EXPLAINED = 20, 10
"""Images whose many passes each cost more."""
NEAR = 0.05
"""Largest distance of numbers from the CPU's, as a share of their length: `|x - x_cpu| / |x_cpu|`.

Emulated on a CPU, TensorFloat-32, in which torch computes convolutions on recent NVIDIA devices, moves the numbers
below by 1.2 % at most; and by 3.7 % the change of the weights in training, for which `2 * NEAR` is allowed.
"""


@dataclass(frozen=True, slots=True)
class RoomCheck:
    """Whether a room computes on a device what it should.

    Args:
        device: its name, such as `cuda:0`.
        room: its name, such as `attack`.
        held: False where a figure is wrong or differs from the CPU's, or an error ended the work; None where an
            optional package is absent, so that nothing was checked.
        seconds: that the work took on this device.
        detail: the figures, or the type and message of the error, in one line.
    """

    device: str
    room: str
    held: bool | None
    seconds: float
    detail: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of a room's work on a device.

    Args:
        holds: whether the figures have the property that the method promises.
        detail: the figures in words.
        verdicts: classes or flags of samples, by name; few may differ on another device.
        numbers: by name; close to those of another device.
        near: largest distance of the numbers from the CPU's; see `NEAR`.
    """

    holds: bool
    detail: str
    verdicts: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    numbers: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    near: float = NEAR


def find_devices() -> list[str]:
    """The CPU, and every accelerator that torch can use, those of plug-ins included."""
    kind = accelerator()
    if kind in (None, "cpu"):
        return ["cpu"]
    return ["cpu", *([kind] if kind == "mps" else [f"{kind}:{i}" for i in range(count_devices(kind))])]


def self_check(device: str | None = None) -> list[RoomCheck]:
    """Let every room work on devices, with the embedded networks and images; about eight seconds a device on two cores.

    A check holds if the figures have the property that the method promises, such as a lower accuracy under attack, and
    if they are the CPU's but for rounding. One or two methods of a room are tried, not all.

    Args:
        device: the only one to check, such as `cuda:1` or `auto`; None for all of `find_devices`.

    Returns:
        A record for each device and room, in this order.

    Raises:
        ModelError: there is no such device.
    """
    chosen = find_devices() if device is None else [str(find_device(device))]
    devices = list(dict.fromkeys(["cpu", *chosen]))  # the others are compared with the CPU
    checks, cpu = list[RoomCheck](), dict[str, Measurement]()
    with track("self-check", len(devices) * len(ROOMS)) as task:
        for name in devices:
            for room in ROOMS:
                task.advance(0, note=f"{room} on {name}")
                checks.append(_check(name, room, cpu))
                task.advance()
    return [check for check in checks if check.device in chosen]


def _check(device: str, room: str, cpu: dict[str, Measurement]) -> RoomCheck:
    """Check a room on a device. What the CPU measures is added to `cpu`, and what others measure compared with it."""
    began = time.perf_counter()
    held: bool | None
    try:
        with tempfile.TemporaryDirectory(prefix="unshaken-") as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", LongRunWarning)  # on a slow machine too it is under a minute
            found = ROOMS[room](device, Path(folder))
        held, detail = found.holds, found.detail
        if device == "cpu":
            cpu[room] = found
        elif room in cpu:
            same, difference = compare(found, cpu[room])
            held, detail = held and same, f"{detail}; {difference}"
        else:
            held, detail = False, f"{detail}; the check of the CPU, to compare with, ended in an error"
    except Interrupted:  # by Ctrl-C
        raise
    except Exception as error:  # what is broken here is what the user wants to know
        held = None if isinstance(error, MissingExtra) else False
        detail = " ".join(f"{type(error).__name__}: {error}".split())
    return RoomCheck(device, room, held, time.perf_counter() - began, detail)


def compare(found: Measurement, cpu: Measurement) -> tuple[bool, str]:
    """Compare what a device measured with what the CPU did.

    Returns:
        Whether both are the same but for rounding, and how far they differ, in words.
    """
    differing = {name: int((found.verdicts[name] != expected).sum()) for name, expected in cpu.verdicts.items()}
    same = all(differing[name] * IMAGES <= expected.size for name, expected in cpu.verdicts.items())
    total = sum(expected.size for expected in cpu.verdicts.values())
    words = [f"in {sum(differing.values())} of {total} verdicts"] if total else []
    if cpu.numbers:
        lengths = {name: np.linalg.norm(expected) for name, expected in cpu.numbers.items()}
        away = {name: np.linalg.norm(found.numbers[name] - cpu.numbers[name]) / lengths[name] for name in lengths}
        largest = max(away, key=lambda name: np.nan_to_num(away[name], nan=np.inf))
        same = same and bool(away[largest] <= cpu.near)  # not so where it is no number
        words.append(f"by {away[largest]:.2%} ({largest})")
    return same, f"differs from the CPU {' and '.join(words)}"


def check_stress(device: str, folder: Path) -> Measurement:
    """Classify corrupted images: fewer are right than of the clean ones."""
    plan = [{"method": name, "severities": [3]} for name in ("fog", "gaussian_noise")]
    done = audit("demo:standard", "demo", plan, limit=IMAGES, save_examples=0, out=folder / "run", device=device)
    clean, fog, noise = _accuracies(done.summary, "fog", "gaussian_noise")
    return Measurement(
        clean > 0.6 and fog < clean and noise < clean,
        f"{clean:.0%} of {IMAGES} images right, {fog:.0%} in fog, {noise:.0%} in noise",
        verdicts={"classes": _values(done.run, "outcomes", "prediction")},
        numbers={"logits": _values(done.run, "outcomes", "logits")},
    )


def check_attack(device: str, folder: Path) -> Measurement:
    """Attack by FGSM and PGD: both fool the network, and PGD no fewer images."""
    plan = [
        {"method": "fgsm", "eps": ["8/255"]},
        {"method": "pgd", "eps": ["8/255"], "params": {"steps": 10, "rel_stepsize": 0.25}},
    ]
    done = audit("demo:standard", "demo", plan, limit=IMAGES, save_examples=0, out=folder / "run", device=device)
    clean, fgsm, pgd = _accuracies(done.summary, "fgsm", "pgd")
    return Measurement(
        clean > 0.6 and pgd <= fgsm < clean,
        f"{clean:.0%} of {IMAGES} images right, {fgsm:.0%} under fgsm, {pgd:.0%} under pgd at 8/255",
        verdicts={"fgsm": _values(done.run, "outcomes", "correct", method="fgsm")},
    )


def check_certify(device: str, folder: Path) -> Measurement:
    """Certify by smoothing and by interval bounds: classes better than by chance, and no bound above PGD's accuracy."""
    plan = [
        {"method": "smoothing", "params": {"sigma": 0.25, "n": 100, "n0": 20}},
        {"method": "ibp", "eps": ["0.5/255"]},
        {"method": "pgd", "eps": ["0.5/255"], "params": {"steps": 10, "rel_stepsize": 0.25}},
    ]
    done = audit("demo:robust", "demo", plan, limit=CERTIFIED, save_examples=0, out=folder / "run", device=device)
    found = {one["method"]: one for one in done.summary["certified"]}
    right = found["smoothing"]["radii"][0]["certified_accuracy"]["value"]
    bound = found["ibp"]["radii"][-1]["certified_accuracy"]["value"]
    attacked = found["ibp"]["attacked"][0]["accuracy"]["value"]
    columns = ("prediction", "abstained", "radius")
    smoothed = {column: _values(done.run, "certificates", column, method="smoothing") for column in columns}
    return Measurement(
        right > 0.2 and 0.2 < bound <= attacked and not found["ibp"]["broken"],
        f"{right:.0%} of {CERTIFIED} certified by smoothing, {bound:.0%} by ibp ({attacked:.0%} right under pgd)",
        verdicts={
            "smoothing": np.where(smoothed["abstained"], -1, smoothed["prediction"]),
            "ibp": _values(done.run, "certificates", "radius", method="ibp") > 0,
        },
        numbers={"radii": smoothed["radius"]},
    )


def check_detect(device: str, folder: Path) -> Measurement:
    """Fit detectors and score images: fog is separated from clean images, and most of these are accepted."""
    methods = {"energy": "energy", "mahalanobis": "mahalanobis:layer=body.3"}
    fitted = fit("demo:standard", "demo", list(methods.values()), limit=200, device=device)
    done = detect(
        "demo:standard", "demo", fitted, shifts="fog-5", attacked=False, limit=IMAGES, save_examples=0,
        out=folder / "run", device=device,
    )  # fmt: skip
    found = {one["method"]: one for one in done.summary["detection"]}
    energy, mahalanobis = (found[name]["groups"][0]["auroc"]["value"] for name in methods)
    accepted = min(found[name]["accepted"]["value"] for name in methods)
    return Measurement(
        min(energy, mahalanobis) > 0.7 and accepted > 0.7,
        f"fog told with AUROCs of {energy:.2f} (energy) and {mahalanobis:.2f} (mahalanobis)",
        verdicts={"accepted": _values(done.run, "scores", "accepted")},
        numbers={name: _values(done.run, "scores", "score", detector=name) for name in methods},
    )


def check_explain(device: str, folder: Path) -> Measurement:
    """Make maps: integrated gradients add up to the difference of the scores, but for the integral's steps."""
    names = {"gradcam": "gradcam", "integrated-gradients": "integrated-gradients:steps=64"}
    done = explain("demo:standard", "demo", list(names.values()), limit=EXPLAINED, out=folder / "run", device=device)
    maps = {name: done.run.read_tensors("maps", f"{name}-00000.safetensors").tensors["maps"].numpy() for name in names}
    gap = _values(done.run, "attributions", "gap", method="integrated-gradients").mean()
    missing = gap / np.abs(maps["integrated-gradients"].sum((1, 2))).mean()
    return Measurement(
        bool(missing < 0.05),
        f"{EXPLAINED} maps of integrated gradients miss the difference of the scores by {missing:.1%}",
        numbers=maps,
    )


def check_harden(device: str, folder: Path) -> Measurement:
    """Train a network adversarially for an epoch: it is right more often than by chance."""
    done = harden(
        "small", "demo", "at:eps=8/255,steps=1", epochs=1, batch_size=16, lr=0.001, check_images=16, check_steps=2,
        limit=400, out=folder / "run", device=device,
    )  # fmt: skip
    right = done.summary["figures"]["held_accuracy"]
    start = fresh("small", torch.zeros(1, 1, 28, 28), classes=10, seed=0)
    pairs = zip(done.model.parameters(), start.parameters(), strict=True)
    change = torch.cat([(trained.cpu() - begun).flatten() for trained, begun in pairs]).detach()
    return Measurement(
        right["value"] > 0.2 and bool(change.isfinite().all()),
        f"one epoch of at on small: {right['value']:.0%} of {right['n']} held-out images right",
        numbers={"change of the weights": change.numpy()},
        near=2 * NEAR,
    )


def check_labels(device: str, folder: Path) -> Measurement:
    """Find labels that were made wrong on purpose, by frozen features."""
    done = find_labels(
        "demo?noise=symmetric:0.2", ["confident-learning", "knn-agreement"], model="demo:standard", limit=120,
        folds=2, review_size=0, out=folder / "run", device=device,
    )  # fmt: skip
    auroc = [one["judged"]["auroc"]["value"] for one in done.summary["found"].values()]
    wrong = done.summary["known_wrong"]["value"]
    return Measurement(
        min(auroc) > 0.8,
        f"{wrong:.0%} of 120 labels wrong, found with AUROCs of {auroc[0]:.2f} and {auroc[1]:.2f}",
        verdicts={name: np.array(scores.flagged) for name, scores in done.found.items()},
        numbers={name: np.array(scores.score) for name, scores in done.found.items()},
    )


def check_generate(device: str, folder: Path) -> Measurement:
    """Train a small diffusion model and draw images: its loss falls."""
    fitting = Fitting(steps=20, batch_size=8, warmup=5, lr=0.005)
    file = folder / "model.safetensors"
    fitted = fit_generator("demo", "ddpm:timesteps=100", out=file, limit=200, fitting=fitting, width=8, device=device)
    images = sample_generator(file, 8, steps=10, device=device).images.numpy()
    first, last = fitted.losses[0], float(np.mean(fitted.losses[-5:]))
    return Measurement(
        last < 0.85 * first and bool(((images >= 0) & (images <= 1)).all()),
        f"loss of ddpm from {first:.2f} to {last:.2f} in {fitting.steps} steps; {len(images)} images drawn",
        numbers={"losses": np.array(fitted.losses), "images": images},
    )


def check_tasks(device: str, folder: Path) -> Measurement:
    """Classify from five examples a class, by frozen features."""
    images, labels, _ = images_in_memory(load_data("demo"), 300, 0, None)
    features = frozen_features(load_model("demo:standard", device=device), images, cache=False)
    episodes = draw_episodes(np.asarray(labels), ways=5, shots=5, episodes=50)
    right = run_episodes(episodes, torch.from_numpy(features)).mean()
    return Measurement(
        bool(right > 0.5),
        f"few-shot classification alone: {right:.0%} right with 5 examples of each of 5 classes",
        numbers={"features": features},
    )


ROOMS: dict[str, Callable[[str, Path], Measurement]] = {
    "stress": check_stress,
    "attack": check_attack,
    "certify": check_certify,
    "detect": check_detect,
    "explain": check_explain,
    "harden": check_harden,
    "labels": check_labels,
    "generate": check_generate,
    "tasks": check_tasks,
}
"""The check of each room: it works on a device, and writes into a folder that is new and empty."""


def _accuracies(summary: Mapping[str, Any], *methods: str) -> list[float]:
    """The share of images classified correctly: clean ones, then by method."""
    found = {one["method"]: one["accuracy"]["value"] for one in summary["conditions"]}
    return [summary["clean"]["value"], *(found[method] for method in methods)]


def _values(run: RunDir, table: str, column: str, **where: str) -> NDArray[Any]:
    """A column of a run's rows, of those alone that have the values of `where`."""
    rows = run.rows(table).to_pylist()
    return np.array([row[column] for row in rows if all(row[name] == value for name, value in where.items())])
