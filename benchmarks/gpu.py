"""Every row of the tables of speed on one device, such as a GPU: one command, one file, ten minutes at most.

    python benchmarks/gpu.py                              # this machine's accelerator, into gpu.json
    python benchmarks/gpu.py --rows pgd,votes --rounds 5
    python benchmarks/gpu.py --device cpu --quick         # a try of a minute; its figures are worth nothing

Only the package is needed (for training with its extra `train`). Peers are measured where they are installed, and stand
in the table as absent elsewhere: torchattacks, foolbox, autoattack, captum, pytorch-ood, imagecorruptions-imaug.

Networks: `demo:robust`, embedded, on the embedded images of 28 px, attacked as on the CPU (linf 0.1, l2 1); a ResNet-18
at 32 px with 10 classes and a ResNet-50 at 224 px with 1,000, with weights drawn from a seed, on pictures made here.
Networks with random weights fall at a touch, and so are attacked within 1e-4 on the images of the widest margins, where
none falls and all tools make all steps: this compares the price of a step, and not the gain of samples that leave. Rows
of corruptions and diffusion take the size of images alone. AutoAttack and Square make 1,000 queries, C&W 9 x 50 steps.

How it is measured. A network's plain pass is timed first, and a run gets as many images as should take a second (a row
of plain passes a quarter of one). One counted run of each tool is its warm-up; the tools then take turns for `--rounds`
rounds in an order that rotates, with the same images, weights, batches and seed. The clock is read when the device has
ended its work. Passes are counted below all tools, by the convolutions that are executed, for each image, map or vote.
`in passes` is the share of unshaken's seconds that its own meters count inside the model's passes (in training: of the
inner search); they wait for a CPU and for CUDA alone, so that it is left out elsewhere. `MiB` is the device's peak
within a run above what was held before it, where torch reports it. All tools share a process: on a CPU the memory that
unshaken keeps helps peers too.

Rows run one after another in a process of their own, which is started anew after an error, so that a failure, a crash
or a row that hangs is recorded and costs itself alone. A row is stopped after a quarter of `--seconds`; what is left
when all seconds are over is recorded as not run. The file is written anew after each row.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from _peer_attacks import APGD_STEPS, OFFICIAL, PGD_STEPS, Arguments, Piece, Run, Work, seeded
from _peers import DISTRIBUTIONS, absent, count, first_images, installed, judge, label
from _suite import ATTACKS, CW
from attack_suite import run_unshaken
from detection_cost import DETECTORS
from explain_cost import methods
from passes import forward, gradient
from torch import Tensor, nn
from torch.utils import collect_env
from training import BATCH, RATE, plain

import unshaken
from unshaken.certify.smoothing.votes import vote
from unshaken.core import Batch, Oracle, UnshakenError
from unshaken.core.batch import batch_for
from unshaken.core.device import find_device
from unshaken.core.meter import Meter
from unshaken.core.registry import find_method, parse_method
from unshaken.core.search_copy import search_copy
from unshaken.data import from_arrays
from unshaken.data.resident import Samples
from unshaken.detect import Shares, fit
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.screen import screen
from unshaken.explain import make_case
from unshaken.explain.metrics.deletion import Deletion
from unshaken.generate import DDPM, EDM, UNet, UNetSettings
from unshaken.harden.engine._processes import Processes
from unshaken.harden.engine.fit import fresh
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.training import Training
from unshaken.store.provenance import provenance

DEMO, SMALL, LARGE, SMALLER = "demo:robust", "resnet18@32", "resnet50@224", "resnet18@64"
"""Networks; the last takes the place of the large one with `--quick`."""
DISTRIBUTIONS |= {"pytorch-ood": "pytorch-ood", "imagecorruptions": "imagecorruptions-imaug"}
PEERS = ("plain", "torchattacks", "foolbox", "autoattack")
"""The tools of the attack suite that are asked."""


class Subject:
    """A network on the device, and images for it.

    Attributes:
        model: in evaluation mode, frozen.
        bytes: images on the CPU, uint8 `[N, C, H, W]`; see `pictures`.
        images: the same on the device, float32 in [0, 1]; those of a network with random weights by falling margins.
        labels: of `images`, int64 `[N]`, on the device; from a network with random weights its predictions.
        eps: radius by norm.
        batch: images in one pass, for all tools.
        rate: images passed forward and backward a second.
    """

    def __init__(self, chosen: argparse.Namespace, name: str) -> None:
        self.chosen, self.device = chosen, torch.device(chosen.device)
        if name == DEMO:
            model, (images, labels) = unshaken.load_model(DEMO), first_images(1000)
            self.bytes, self.eps = (images * 255).round().to(torch.uint8), {"linf": 0.1, "l2": 1.0}
        else:
            arch, _, side = name.partition("@")
            self.bytes, self.eps = pictures(int(side)), {"linf": 1e-4, "l2": 1e-4}
            model = fresh(f"torchvision:{arch}", self.bytes, classes=1000 if name == LARGE else 10, seed=0)
        self.model = model.eval().requires_grad_(False).to(self.device)
        self.images = (self.bytes.float() / 255).to(self.device)
        self.batch = min(len(self.images), batch_for(self.images))
        first = self.images[: self.batch]
        self.rate = max(self.batch / self.time(lambda: gradient(self.model, first)) for _ in range(2))
        if name == DEMO:
            self.labels = labels.to(self.device)
            return
        with torch.no_grad():
            best, names = torch.cat([self.model(x) for x in self.images.split(self.batch)]).topk(2)
        order = (best[:, 0] - best[:, 1]).argsort(descending=True)
        self.images, self.labels = self.images[order], names[order, 0]

    def time(self, run: Callable[[], object]) -> float:
        """Seconds until the device has done all that a run has asked of it."""
        wait = partial(torch.accelerator.synchronize, self.device) if self.device.type != "cpu" else lambda: None
        wait()
        began = time.perf_counter()
        run()
        wait()
        return time.perf_counter() - began

    def samples(self, passes: float, most: int = 10**9) -> Batch:
        """As many images as a run should take at a number of passes both ways for each."""
        n = min(most, len(self.images), max(self.chosen.least, int(self.rate * self.chosen.target / passes)))
        return Batch(self.images[:n], self.labels[:n], tuple(map(str, range(n))))

    def oracle(self, precision: str = "fp32") -> Oracle:
        """A fresh one with the search copy, as the verbs make it."""
        quick = search_copy(self.model, self.images[:2])
        return Oracle(self.model, limit=self.batch, precision=precision, search_copy=quick)


def pictures(side: int) -> Tensor:
    """Smooth pictures of ten classes with some noise, uint8 `[N, 3, side, side]`; the class of image i is i % 10."""
    draw = torch.Generator().manual_seed(0)
    n = max(256, 2**21 // side**2)
    classes, own = (torch.rand(m, 3, 8, 8, generator=draw) for m in (10, n))
    smooth = F.interpolate(0.5 * classes[torch.arange(n) % 10] + 0.4 * own, side, mode="bilinear")
    return ((smooth + 0.1 * torch.rand(smooth.shape, generator=draw)) * 255).to(torch.uint8)


@dataclass(frozen=True)
class Contest:
    """The work of one row.

    Args:
        unit: what is made, such as images.
        amount: how many of it a run makes.
        tools: name to a run, or to the reason why there is none; the first is unshaken.
        net: whose passes are counted; None where there are none.
        image: one that it takes, `[1, C, H, W]`.
        result: a few words on what a tool made, from that and from what unshaken made.
    """

    unit: str
    amount: int
    tools: dict[str, Callable[[], Any] | str]
    net: Any = None
    image: Tensor | None = None
    result: Callable[[Any, Any], str] = lambda found, own: ""


def beside(tool: str, run: Callable[[], Any]) -> Callable[[], Any] | str:
    """A peer's run, or why there is none."""
    return run if installed(tool) else absent(tool)


def passes(work: Callable[..., None], precision: torch.dtype, subject: Subject) -> Contest:
    """A pass of the network as it is, and of the copy that unshaken asks in its place."""
    times = max(1, round(subject.rate * subject.chosen.target / 4 / subject.batch))
    images, quick = subject.images[: subject.batch], search_copy(subject.model, subject.images[:2])

    def run(net: nn.Module) -> None:
        with torch.autocast(subject.device.type, precision, enabled=precision != torch.float32):
            for _ in range(times):
                work(net, images)

    ours = "no copy agrees with the network, which is asked itself" if quick is None else partial(run, quick)
    tools = {"unshaken": ours, "plain": partial(run, subject.model)}
    return Contest("images", times * len(images), tools, subject.model, images[:1])


def foolbox_attack(name: str, arguments: Arguments, minimal: bool = False) -> Run:
    """`foolbox.attacks.<name>` where the images are."""

    def make(work: Work) -> Piece:
        import foolbox

        wrapped = foolbox.PyTorchModel(work.model, bounds=(0, 1), device=work.images.device)
        attack = getattr(foolbox.attacks, name)(**arguments(work))
        return lambda x, y: attack(wrapped, x, y, epsilons=None if minimal else work.eps)[1]

    return seeded(make)


def own_code(*only: str) -> Run:
    """AutoAttack's own code where the images are: its version standard, or one start of some of its attacks."""

    def make(work: Work) -> Piece:
        from autoattack import AutoAttack

        attack = AutoAttack(
            work.model, norm=OFFICIAL[work.norm], eps=work.eps, seed=work.seed, verbose=False, attacks_to_run=[*only],
            version="custom" if only else "standard", device=work.images.device,
        )  # fmt: skip
        attack.apgd.n_restarts, attack.square.n_queries = 1, work.queries
        return lambda x, y: attack.run_standard_evaluation(x, y, bs=work.batch_size)

    return seeded(make, whole=True)


ON_DEVICE = {
    ("pgd", "foolbox"): foolbox_attack("LinfPGD", lambda w: {"abs_stepsize": w.eps / 30, "steps": PGD_STEPS}),
    ("carlini-wagner", "foolbox"): foolbox_attack(
        "L2CarliniWagnerAttack", lambda w: {**CW, "steps": w.cw_steps}, minimal=True
    ),
    ("apgd", "autoattack"): own_code("apgd-ce"),
    ("autoattack", "autoattack"): own_code(),
}
"""In the place of adapters of `_peer_attacks.py` that are for a CPU."""


def attack(name: str, passes: float, subject: Subject) -> Contest:
    """An attack of the suite beside its peers; what each returns is judged by a plain pass on the device."""
    suite, batch, chosen = ATTACKS[name], subject.samples(passes), subject.chosen
    norm = suite.norms[0]
    work = Work(
        model=subject.model, images=batch.images, labels=subject.labels[: len(batch)], norm=norm,
        eps=subject.eps[norm], batch_size=subject.batch, seed=0, queries=chosen.queries, cw_steps=chosen.cw_steps,
        mode="strict",
    )  # fmt: skip
    tools: dict[str, Any] = {"unshaken": partial(run_unshaken(suite), work)}
    for tool in PEERS:
        norms, run = suite.peers.get(tool, ((), None))
        if norm in norms:
            tools[tool] = beside(tool, partial(ON_DEVICE.get((name, tool), run), work))

    def result(found: Tensor, own: Tensor) -> str:
        verdict = judge(work.model, work.images, work.labels, found, norm)
        if suite.minimal:
            return f"median norm {verdict.minimal.median().item():.4f}"
        return f"{verdict.accuracy(work.eps):.1%} left, {verdict.outside(work.eps)} outside"

    return Contest("images", len(batch), tools, subject.model, batch.images[:1], result)


def votes(subject: Subject) -> Contest:
    """Votes of a network over images with Gaussian noise, beside the loop of the published code."""
    batch, sigma = subject.samples(10**9), 0.25
    n = int(min(10_000, max(64, 3 * subject.rate * subject.chosen.target / len(batch))))
    classes = subject.model(batch.images[:1]).shape[1]

    def ours(precision: str) -> Tensor:
        oracle = subject.oracle(precision)
        return vote(oracle, batch.images, batch.ids, sigma=sigma, n0=0, n=n, seed=0, method="benchmark").counts.cpu()

    @torch.no_grad()
    def published() -> Tensor:
        counts = np.zeros((len(batch), classes), dtype=int)
        for image, own in zip(batch.images, counts, strict=True):
            for first in range(0, n, subject.batch):
                copies = image.repeat((min(subject.batch, n - first), 1, 1, 1))
                for answer in subject.model(copies + torch.randn_like(copies) * sigma).argmax(1).cpu().numpy():
                    own[answer] += 1
        return torch.from_numpy(counts)

    def result(found: Tensor, own: Tensor) -> str:
        return f"{found.gather(1, own.argmax(1, keepdim=True)).double().mean().item() / n:.1%} for the top class"

    tools = {"unshaken": partial(ours, "fp32"), "unshaken bf16": partial(ours, "bf16"), "plain": published}
    return Contest("votes", n * len(batch), tools, subject.model, batch.images[:1], result)


def maps(place: int, passes: float, subject: Subject) -> Contest:
    """Maps by one of the methods of `explain_cost.py`, beside its peer there."""
    batch, masks = subject.samples(passes), subject.chosen.masks if place == 3 else 1  # which take much memory
    given = argparse.Namespace(batch=subject.batch, points=48, stride=29, masks=masks)
    method = methods(given, subject.model, batch.images, subject.labels[: len(batch)])[place]
    tools = {"unshaken": method.ours, method.peer: method.theirs or absent(method.peer)}

    def result(found: Tensor, own: Tensor) -> str:
        return "" if found is own else method.compare(own, found)

    return Contest("maps", len(batch), tools, subject.model, batch.images[:1], result)


def deletion(subject: Subject) -> Contest:
    """The deletion curve of 28 steps; its peer, Quantus, works on arrays on a CPU, and is not asked."""
    batch = subject.samples(10)
    case, _ = make_case(subject.model, batch.images, "gradcam", limit=subject.batch)

    def result(found: Tensor, own: Tensor) -> str:
        return f"mean area {found.mean().item():.4f}"

    tools = {"unshaken": lambda: Deletion(steps=28, substrate="black").judge(case).value}
    return Contest("curves", len(batch), tools, subject.model, batch.images[:1], result)


def detectors(subject: Subject) -> Contest:
    """A dozen detectors in one pass, beside pytorch-ood's one after another; fitted before, on 256 images."""
    batch, limit, k = subject.samples(4), subject.batch, 10
    labels = torch.arange(256) % 10
    names = [f"knn:k={k}" if name == "knn" else name for name in DETECTORS]
    data = from_arrays(subject.bytes[:256].numpy(), labels.numpy())
    shares, device = Shares(calibration=0.1), str(subject.device)
    found = fit(subject.model, data, names, shares=shares, batch_size=limit, device=device).detector_set

    def ours() -> Tensor:
        scores = screen(found.detectors, found.anatomy, batch, subject.oracle())
        return torch.stack([s.score for s in scores.values()])

    def fitted() -> list[Any]:
        import pytorch_ood.detector as peer

        model, anatomy = subject.model, Anatomy.of(subject.model, subject.images[:2])
        assert anatomy.weight is not None
        layer, head = anatomy.penultimate, {"w": anatomy.weight, "b": anatomy.bias}

        def encode(x: Tensor) -> Tensor:
            return model.features(x, (layer,))[1][layer]

        def maps(x: Tensor) -> Tensor:
            return encode(x)[:, :, None, None]

        def classify(f: Tensor) -> Tensor:
            return F.linear(f.flatten(1), anatomy.weight, anatomy.bias)

        made = {
            "knn": partial(peer.KNN, encode, k=k),
            "vim": partial(peer.ViM, encode, d=min(512, anatomy.weight.shape[1] // 2), **head),
            "react": partial(peer.ReAct, encode, classify),
            "ash": partial(peer.ASH, maps, classify),
            "scale": partial(peer.SCALE, maps, classify),
            "dice": partial(peer.DICE, encode, p=0.9, **head),
        }
        images, kinds = (subject.bytes[:256].float() / 255).to(subject.device), labels.to(subject.device)
        pairs = list(zip(images.split(limit), kinds.split(limit), strict=True))
        several = [made.get(name, partial(getattr(peer, theirs), model))() for name, theirs in DETECTORS.items()]
        for one in several:
            one.to(subject.device)
            one.fit(pairs)
        return several

    @torch.no_grad()
    def theirs(several: list[Any]) -> Tensor:
        scores = [torch.cat([one.predict(x) for x in batch.images.split(limit)]) for one in several]
        return torch.stack([s.to(subject.device) for s in scores])

    def result(scores: Tensor, own: Tensor) -> str:
        ranks = [s.argsort(1).argsort(1).float() for s in (scores, own)]
        alike = [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in zip(*ranks, strict=True)]
        return f"rank correlation {statistics.median(alike):.3f}, the median"

    tools: dict[str, Any] = {"unshaken": ours, "pytorch-ood": absent("pytorch-ood")}
    if installed("pytorch-ood"):
        try:
            tools["pytorch-ood"] = partial(theirs, fitted())
        except Exception as error:  # another version of it: unshaken is measured all the same
            tools["pytorch-ood"] = failure(error)["error"]
    return Contest("images", len(batch), tools, subject.model, batch.images[:1], result)


def corruption(name: str, subject: Subject) -> Contest:
    """A batch on the device at severity 3; the peer has arrays of 8 bits on a CPU, one after another."""
    method, batch = find_method(name, "stress").cls(), subject.samples(1, most=64)
    arrays = (batch.images * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def theirs() -> None:
        from imagecorruptions import corrupt

        for array in arrays:
            corrupt(array, severity=3, corruption_name=name)

    tools = {"unshaken": lambda: method.apply(batch, 3), "imagecorruptions": beside("imagecorruptions", theirs)}
    return Contest("images", len(batch), tools)


def training(spec: str, subject: Subject) -> Contest:
    """One epoch, beside the loop of the papers' own code where `training.py` has one."""
    n = BATCH * max(1, (len(subject.samples(8)) - 1) // BATCH)  # one more is held out
    eps, steps = 8 / 255, subject.chosen.steps
    recipe = parse_method(spec.format(eps=eps, steps=steps, size=2.5 / steps), "harden")
    labels = torch.arange(len(subject.bytes)) % 10

    def untrained() -> Any:
        return copy.deepcopy(subject.model).requires_grad_(True)

    def ours(precision: Any) -> nn.Module:
        options = Training(
            epochs=1, lr=RATE, batch_size=BATCH, schedule="constant", inner_precision=precision, held_out=1,
            select="last",
        )  # fmt: skip
        samples = Samples.of(subject.bytes[: n + 1], labels[: n + 1], 10)
        loop = Loop(untrained(), samples, [recipe], options, processes=Processes(device=str(subject.device)))
        loop.check = lambda live, kept: {}  # type: ignore[assignment]
        loop.train()
        return loop.live

    def theirs() -> nn.Module:
        given: Any = SimpleNamespace(options=SimpleNamespace(eps=eps, steps=steps), net=untrained)
        given.images, given.labels = subject.bytes[:n].to(subject.device), labels[:n].to(subject.device)
        return plain(given, recipe.info.name, n)[1]

    @torch.no_grad()
    def result(net: nn.Module, own: nn.Module) -> str:
        net.eval()
        images = (subject.bytes[:n].float() / 255).to(subject.device)
        guesses = torch.cat([net(x) for x in images.split(subject.batch)]).argmax(1).cpu()
        return f"{(guesses == labels[:n]).double().mean().item():.1%} right on its own images"

    tools: dict[str, Any] = {"unshaken": partial(ours, "fp32"), "unshaken bf16": partial(ours, "bf16")}
    if recipe.info.name in ("at", "trades"):
        tools["plain"] = theirs
    return Contest("images", n, tools, untrained(), subject.images[:1], result)


def diffusion(kind: type[DDPM] | type[EDM], steps: int, subject: Subject) -> Contest:
    """Images from noise by the package's own U-Net with its weights as they start."""
    net, n = UNet(UNetSettings(image=(3, 32, 32)), seed=0), len(subject.samples(steps))
    model = kind(net).eval().requires_grad_(False).to(subject.device)

    def one_pass(x: Tensor) -> Tensor:
        return net(x, x.new_zeros(len(x)))

    tools = {"unshaken": lambda: model.sample(n, steps=steps, batch_size=subject.batch)}
    return Contest("images", n, tools, one_pass, subject.images[:1])


CORRUPTIONS = ("gaussian_noise", "motion_blur", "snow", "fog", "elastic_transform", "jpeg_compression")
ROWS: dict[str, tuple[Callable[[Subject], Contest], tuple[str, ...]]] = {
    "forward": (partial(passes, forward, torch.float32), (DEMO, SMALL, LARGE)),
    "forward-bf16": (partial(passes, forward, torch.bfloat16), (DEMO, SMALL, LARGE)),
    "gradient": (partial(passes, gradient, torch.float32), (DEMO, SMALL, LARGE)),
    "gradient-bf16": (partial(passes, gradient, torch.bfloat16), (DEMO, SMALL, LARGE)),
    "pgd": (partial(attack, "pgd", PGD_STEPS), (DEMO, SMALL, LARGE)),
    "apgd": (partial(attack, "apgd", APGD_STEPS), (DEMO, LARGE)),
    "autoattack": (partial(attack, "autoattack", 2000), (DEMO,)),
    "square": (partial(attack, "square", 400), (DEMO,)),
    "fab": (partial(attack, "fab", 500), (DEMO,)),
    "carlini-wagner": (partial(attack, "carlini-wagner", 450), (DEMO,)),
    "votes": (votes, (SMALL, LARGE)),
    "integrated-gradients": (partial(maps, 0, 48), (LARGE,)),
    "smoothgrad": (partial(maps, 1, 48), (LARGE,)),
    "occlusion": (partial(maps, 2, 20), (LARGE,)),
    "rise": (partial(maps, 3, 70), (LARGE,)),
    "deletion": (deletion, (LARGE,)),
    "detectors": (detectors, (SMALL, LARGE)),
    **{name: (partial(corruption, name), (LARGE,)) for name in CORRUPTIONS},
    "at": (partial(training, "at:eps={eps},steps={steps},rel_stepsize={size}"), (SMALL,)),
    "trades": (partial(training, "trades:eps={eps},steps={steps},rel_stepsize={size}"), (SMALL,)),
    "free-at": (partial(training, "free-at:eps={eps},m={steps}"), (SMALL,)),
    "ddpm": (partial(diffusion, DDPM, 25), (SMALL,)),
    "edm": (partial(diffusion, EDM, 18), (SMALL,)),
}
"""Name to what makes a row's work, and to its networks, in the order in which they run."""


def counted(run: Callable[[], Any], contest: Contest, own: Any, entry: dict[str, Any]) -> Any:
    """What a run makes; its passes are written down, and the result beside unshaken's own."""
    forwards, backwards, found = 0.0, 0.0, None
    if contest.net is None or contest.image is None:
        found = run()
    else:
        forwards, backwards, found = count(contest.net, contest.image, run)
    entry |= {"forwards": forwards / contest.amount, "backwards": backwards / contest.amount}
    try:
        entry["result"] = contest.result(found, found if own is None else own)
    except Exception as error:  # such as a device without float64: the seconds are right all the same
        entry["result"] = f"not judged: {failure(error)['error']}"
    return found


def timed(run: Callable[[], Any], subject: Subject, entry: dict[str, Any]) -> None:
    """Write down a run's seconds, the share of them in passes, and the peak of memory where the device reports it."""
    module, device, made = torch.get_device_module(subject.device), subject.device, list[Meter]()

    def meter(**given: Any) -> Meter:
        made.append(Meter(**given))
        return made[-1]

    has_memory = hasattr(module, "reset_peak_memory_stats") and hasattr(module, "max_memory_allocated")
    if has_memory:
        module.reset_peak_memory_stats(device)
        held = module.memory_allocated(device)
    with mock.patch("unshaken.core.oracle.Meter", meter), mock.patch("unshaken.harden.engine.inner.Meter", meter):
        seconds = subject.time(run)
    entry["seconds"].append(seconds)
    if made:
        entry["in_passes"].append(sum(m.model_seconds for m in made) / seconds)
    if has_memory:
        entry["peak_bytes"] = max(entry.get("peak_bytes", 0), module.max_memory_allocated(device) - held)


def measure(contest: Contest, subject: Subject) -> Iterator[dict[str, Any]]:
    """Count each tool once, then time all in turn; the record as it stands is given after each run."""
    tools: dict[str, dict[str, Any]] = {}
    for tool, run in contest.tools.items():
        tools[tool] = {"absent": run} if isinstance(run, str) else {"version": label(tool.split()[0])}
        tools[tool] |= {"seconds": [], "in_passes": []}
    names, own = [tool for tool in tools if "absent" not in tools[tool]], None
    for turn in range(subject.chosen.rounds + 1):
        shift = max(0, turn - 1) % len(names)
        for tool in names[shift:] + names[:shift]:
            run, entry = contest.tools[tool], tools[tool]
            assert callable(run)
            try:
                if turn and "error" not in entry:
                    timed(run, subject, entry)
                elif not turn:
                    found = counted(run, contest, own, entry)
                    own = found if own is None else own
            except Exception as error:  # of a peer, or memory that ran out: the other tools go on
                entry |= failure(error)
            yield {"unit": contest.unit, "amount": contest.amount, "batch": subject.batch, "tools": tools}


def failure(error: Exception) -> dict[str, str]:
    """What is recorded of an error."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return {"error": text, "traceback": "".join(traceback.format_exception(error))}


def serve(line: Any, chosen: argparse.Namespace) -> None:
    """The process of the rows: at each request the growing record of one, and whether it is complete."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(chosen.threads)
    subject = cache(partial(Subject, chosen))
    for name, network in iter(line.recv, None):
        record: dict[str, Any] = {}
        try:
            for record in measure(ROWS[name][0](subject(network)), subject(network)):
                line.send((record, False))
        except Exception as error:  # whatever it is, the other rows go on
            record = record | failure(error)
        line.send((record, True))


class Worker:
    """The process of the rows as seen from outside."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        start = multiprocessing.get_context("spawn")
        self.line, far = start.Pipe()
        self.process = start.Process(target=serve, args=(far, chosen), daemon=True)
        self.process.start()
        far.close()  # so that its end is noticed here
        self.has_failed = False

    def measure(self, name: str, network: str, limit: float) -> dict[str, Any]:
        """The record of a row, as far as it came within a limit in seconds."""
        until = time.monotonic() + limit
        record: dict[str, Any] = {}
        try:
            self.line.send((name, network))
            is_complete = False
            while not is_complete and self.line.poll(max(0.0, until - time.monotonic())):
                record, is_complete = self.line.recv()
            record |= {} if is_complete else {"error": f"stopped after {limit:.0f} s"}
        except (EOFError, OSError):
            self.process.join()
            record |= {"error": f"its process ended with code {self.process.exitcode}"}
        self.has_failed = any("error" in part for part in (record, *record.get("tools", {}).values()))
        return record


def facts(device: str) -> dict[str, Any]:
    """Machine, device, versions and date; torch knows the driver and the models of GPUs."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %z"),
        "device": device,
        **provenance(),
        "tf32": {"convolutions": torch.backends.cudnn.allow_tf32, "products": torch.backends.cuda.matmul.allow_tf32},
        "tools": [label(tool) for tool in DISTRIBUTIONS if installed(tool)],
        "environment": collect_env.get_env_info()._asdict(),
    }


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A Markdown table; ratios are those within a round, above 1 where unshaken is faster."""
    yield "| row | network | tool | a second (least to most) | unshaken, tool = 1 | passes | in passes | MiB | result |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for one in rows:
        head, tools = f"| {one['row']} | {one['network']}", one.get("tools", {})
        if "error" in one:
            yield f"{head} | | {one['error']} | | | | | |"
        for tool, entry in tools.items():
            title, seconds = f"{head} | {tool}", entry["seconds"]
            if not seconds:
                yield f"{title} | {entry.get('absent') or entry.get('error', 'no round')} | | | | | |"
                continue
            middle, least, most = (one["amount"] / s for s in (statistics.median(seconds), max(seconds), min(seconds)))
            digits = 0 if least >= 100 else 2
            rate = f"{middle:,.{digits}f} {one['unit']} ({least:,.{digits}f} to {most:,.{digits}f})"
            ratios = [b / a for a, b in zip(tools["unshaken"]["seconds"], seconds, strict=False)]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""
            share = f"{statistics.median(entry['in_passes']):.0%}" if entry["in_passes"] else ""
            peak = f"{entry['peak_bytes'] / 2**20:,.0f}" if "peak_bytes" in entry else ""
            counts = f"{entry['forwards']:,.1f} / {entry['backwards']:,.1f}"
            note = entry.get("error") or entry["result"]
            yield f"{title} | {rate} | {'' if tool == 'unshaken' else ratio} | {counts} | {share} | {peak} | {note} |"


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="a device of torch, such as cuda:1 (default the accelerator)")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)}; default all")
    parser.add_argument("--seconds", type=float, default=600, help="after which no row goes on (default 600)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds (default 3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch threads")
    parser.add_argument("--quick", action="store_true", help="a try: little work, one round, one small network a row")
    parser.add_argument("--out", default="gpu.json", help="file to write (default gpu.json)")
    chosen = parser.parse_args()
    chosen.rows = [name.strip() for name in chosen.rows.split(",")]
    unknown = sorted(set(chosen.rows) - set(ROWS))
    if unknown or min(chosen.seconds, chosen.rounds, chosen.threads) < 1:
        parser.error(f"unknown rows {unknown}: use {', '.join(ROWS)}" if unknown else "numbers must be 1 or more")
    try:
        chosen.device = str(find_device(chosen.device))
    except UnshakenError as error:
        parser.error(str(error))
    work: dict[str, Any] = {"target": 1.0, "least": 8, "queries": 1000, "cw_steps": 50, "steps": 7, "masks": 200}
    if chosen.quick:
        work = {"target": 0.02, "least": 2, "queries": 20, "cw_steps": 3, "steps": 1, "masks": 20, "rounds": 1}
    return argparse.Namespace(**{**vars(chosen), **work})


def main() -> None:
    """Measure all rows, write the file, print the table."""
    chosen, began = options(), time.monotonic()
    rows: list[dict[str, Any]] = []
    about = {name: value for name, value in vars(chosen).items() if name != "out"}
    report: dict[str, Any] = {"machine": facts(chosen.device), "options": about, "rows": rows}
    worker = Worker(chosen)
    for name in chosen.rows:
        networks = ROWS[name][1]
        for network in [SMALLER if networks[-1] == LARGE else networks[-1]] if chosen.quick else networks:
            left = chosen.seconds - (time.monotonic() - began)
            record: dict[str, Any] = {"error": "not run: the seconds were over"}
            if left > 0:
                record = worker.measure(name, network, min(left, chosen.seconds / 4))
            if worker.has_failed:
                worker.process.kill()
                worker.process.join()
                worker = Worker(chosen)
            rows.append({"row": name, "network": network, **record})
            Path(chosen.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            spent = f"{time.monotonic() - began:.0f} s"
            print(f"{spent}: {name}, {network} {record.get('error', '')}", file=sys.stderr, flush=True)
    worker.process.kill()
    machine = report["machine"]
    models = machine["environment"].get("nvidia_gpu_models") or machine["processor"]
    print(f"{chosen.device} of {models}; torch {machine['torch']}, {machine['date']}\n")
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
