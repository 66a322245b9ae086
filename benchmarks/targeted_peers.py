"""Targeted attacks: unshaken beside foolbox and ART, on the same networks, images and target classes.

    python benchmarks/targeted_peers.py --model demo:standard,demo:robust --eps 0.1,0.2 --images 100

Every tool is to have the same images classified as the same target, chosen by `--target`, with the same steps and,
where the attack has one, the same radius. The images are the first `--images` that the network classifies rightly. An
image is reached when what the tool returned lies in [0, 1], within the radius (attacks for the smallest norm: at any
distance; JSMA: within its number of changed values) and a plain float32 pass gives the target. Printed are the share
reached with its 95 % interval of Clopper and Pearson, how many images only one of the two reaches, the median norm
over all images (infinite where the target was not reached), and passes an image, counted below all tools by the
convolutions that torch executes.

What is not the same. unshaken ends a sample at its first success, the peers make all their steps and return their last
or their best point. ART's C&W has a line search beside its steps. foolbox's C&W returns a black image where it found
none, which is no success here, even where the network gives it the target. unshaken's first convolution may get its
gradient in tiles, which are counted as forward passes. HopSkipJump starts in every tool from the nearest of the images
to which the network gives the target; unshaken looks for them itself, the peers are given them.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from _peer_attacks import ORDER, Piece, Run, Work, seeded, without_blanks
from _peers import absent, count, first_images, installed, label, machine
from torch import Tensor, nn

import unshaken
from unshaken.attack.engine.targets import RULES, choose_targets
from unshaken.core import Batch, Oracle
from unshaken.core.registry import parse_method, parse_number
from unshaken.core.rng import SampleRng
from unshaken.core.search_copy import search_copy
from unshaken.measure.statistics.intervals import share

PGD_STEPS, MI_STEPS, APGD_STEPS, NORM_STEPS, CONSTANTS, JSMA_STEPS, HOPS = 40, 10, 100, 100, 9, 50, 20
Arguments = Callable[[Work], dict[str, Any]]


def unshaken_attack(spec: str, *, minimal: bool) -> Run:
    """An attack of unshaken, as `unshaken attack --target` runs it; the labels of the work are the targets."""

    def run(work: Work) -> Tensor:
        ids = tuple(str(i) for i in range(len(work.images)))
        oracle = Oracle(work.model, limit=work.batch_size, search_copy=search_copy(work.model, work.images[:2]))
        with torch.no_grad():
            batch = Batch(work.images, work.model(work.images).argmax(1), ids)
        found, _ = parse_method(spec.format(cw=work.cw_steps), "attack").attack(
            oracle, batch, norm=work.norm, eps=[math.inf if minimal else work.eps], seed=work.seed, targets=work.labels
        )
        return found[0].images

    return run


def nearest_of_target(work: Work, x: Tensor, targets: Tensor) -> Tensor:
    """For each of `x` the nearest of all images to which the network gives its target."""
    with torch.no_grad():
        answers = work.model(work.images).argmax(1)
    apart = torch.cdist(x.flatten(1).double(), work.images.flatten(1).double())
    nearest = apart.masked_fill(answers[None] != targets[:, None], math.inf).min(1)
    if not nearest.values.isfinite().all():
        raise SystemExit("of a target there is no image to start HopSkipJump from: give more --images")
    return work.images[nearest.indices]


def foolbox_attack(name: str, arguments: Arguments, *, minimal: bool = False, starts: bool = False) -> Run:
    """`foolbox.attacks.<name>` towards the targets; the clipped images are taken.

    Args:
        name: of the class.
        arguments: of it.
        minimal: whether it searches for the smallest norm.
        starts: whether it needs images of the targets to start from.
    """

    def make(work: Work) -> Piece:
        import foolbox

        wrapped = foolbox.PyTorchModel(work.model, bounds=(0, 1), device="cpu")
        attack = getattr(foolbox.attacks, name)(**arguments(work))
        criterion = foolbox.criteria.TargetedMisclassification
        eps = None if minimal else work.eps

        def piece(x: Tensor, t: Tensor) -> Tensor:
            more = {"starting_points": nearest_of_target(work, x, t)} if starts else {}
            return without_blanks(attack(wrapped, x, criterion(t), epsilons=eps, **more)[1], x)

        return piece

    return seeded(make)


class Single(nn.Module):
    """A model that is given images in float32, for ART's HopSkipJump asks with float64."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """The model's logits `[N, K]` of images `[N, C, H, W]`."""
        return self.model(images.float())  # type: ignore[no-any-return]


def art_attack(name: str, arguments: Arguments, *, switch: bool = True, starts: bool = False) -> Run:
    """`art.attacks.evasion.<name>` towards the targets.

    Args:
        name: of the class.
        arguments: of it.
        switch: whether it has `targeted` and `verbose`, or is targeted always.
        starts: whether it needs images of the targets to start from.
    """

    def make(work: Work) -> Piece:
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier
        from art.utils import to_categorical

        with torch.no_grad():
            classes = work.model(work.images[:1]).shape[1]
        classifier = PyTorchClassifier(
            Single(work.model), loss=nn.CrossEntropyLoss(), input_shape=tuple(work.images.shape[1:]),
            nb_classes=classes, clip_values=(0.0, 1.0), device_type="cpu",
        )  # fmt: skip
        more = {"targeted": True} if switch else {}
        attack = getattr(evasion, name)(
            classifier, batch_size=work.batch_size, verbose=False, **more, **arguments(work)
        )

        def piece(x: Tensor, t: Tensor) -> Tensor:
            given = {"x_adv_init": nearest_of_target(work, x, t).numpy()} if starts else {}
            return torch.from_numpy(attack.generate(x.numpy(), to_categorical(t.numpy(), classes), **given))

        return piece

    return seeded(make)


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack and who has it.

    Args:
        title: for the table.
        norm: of the budget.
        ours: unshaken's method.
        peers: tool to adapter.
        minimal: whether it searches for the smallest norm.
        far: eps of an attack whose budget is its steps; None for the radius of the command line.
    """

    title: str
    norm: str
    ours: str
    peers: dict[str, Run]
    minimal: bool = False
    far: float | None = None


CW = {"binary_search_steps": CONSTANTS, "initial_const": 1e-3}
ATTACKS = {
    "pgd": Attack(
        f"PGD-{PGD_STEPS}, steps of eps/30",
        "linf",
        f"pgd:steps={PGD_STEPS},rel_stepsize=1/30",
        {
            "foolbox": foolbox_attack("LinfPGD", lambda w: {"abs_stepsize": w.eps / 30, "steps": PGD_STEPS}),
            "art": art_attack(
                "ProjectedGradientDescentPyTorch",
                lambda w: {"eps": w.eps, "eps_step": w.eps / 30, "max_iter": PGD_STEPS, "num_random_init": 1},
            ),
        },
    ),
    "mi-fgsm": Attack(
        f"MI-FGSM-{MI_STEPS}",
        "linf",
        f"mi-fgsm:steps={MI_STEPS}",
        {
            "foolbox": foolbox_attack(
                "MIFGSM", lambda w: {"abs_stepsize": w.eps / MI_STEPS, "steps": MI_STEPS, "random_start": False}
            ),
            "art": art_attack(
                "MomentumIterativeMethod", lambda w: {"eps": w.eps, "eps_step": w.eps / MI_STEPS, "max_iter": MI_STEPS}
            ),
        },
    ),
    "apgd": Attack(
        f"APGD-{APGD_STEPS}, cross-entropy",
        "linf",
        f"apgd:steps={APGD_STEPS},loss=ce",
        {
            "art": art_attack(
                "AutoProjectedGradientDescent",
                lambda w: {
                    "eps": w.eps,
                    "eps_step": 2 * w.eps,
                    "max_iter": APGD_STEPS,
                    "nb_random_init": 1,
                    "loss_type": "cross_entropy",
                },
            ),
        },
    ),
    "carlini-wagner": Attack(
        f"C&W, {CONSTANTS} constants",
        "l2",
        f"carlini-wagner:steps={{cw}},search_steps={CONSTANTS}",
        {
            "foolbox": foolbox_attack("L2CarliniWagnerAttack", lambda w: {**CW, "steps": w.cw_steps}, minimal=True),
            "art": art_attack("CarliniL2Method", lambda w: {**CW, "max_iter": w.cw_steps}),
        },
        minimal=True,
    ),
    "ddn": Attack(
        f"DDN-{NORM_STEPS}",
        "l2",
        f"ddn:steps={NORM_STEPS}",
        {"foolbox": foolbox_attack("DDNAttack", lambda w: {"steps": NORM_STEPS}, minimal=True)},
        minimal=True,
    ),
    "fmn": Attack(
        f"FMN-{NORM_STEPS}",
        "l2",
        f"fmn:steps={NORM_STEPS}",
        {"foolbox": foolbox_attack("L2FMNAttack", lambda w: {"steps": NORM_STEPS}, minimal=True)},
        minimal=True,
    ),
    "fmn-linf": Attack(
        f"FMN-{NORM_STEPS}",
        "linf",
        f"fmn:steps={NORM_STEPS}",
        {"foolbox": foolbox_attack("LInfFMNAttack", lambda w: {"steps": NORM_STEPS}, minimal=True)},
        minimal=True,
    ),
    "hop-skip-jump": Attack(
        f"HopSkipJump, {HOPS} iterations",
        "l2",
        f"hop-skip-jump:steps={HOPS}",
        {
            "foolbox": foolbox_attack("HopSkipJumpAttack", lambda w: {"steps": HOPS}, minimal=True, starts=True),
            "art": art_attack("HopSkipJump", lambda w: {"norm": 2, "max_iter": HOPS, "init_size": 1}, starts=True),
        },
        minimal=True,
    ),
    "jsma": Attack(
        f"JSMA, {JSMA_STEPS} pairs",
        "linf",
        f"jsma:steps={JSMA_STEPS}",
        {
            "art": art_attack(
                "SaliencyMapMethod",
                lambda w: {"theta": 1.0, "gamma": 2 * JSMA_STEPS / w.images[0].numel()},
                switch=False,
            )
        },
        far=1.0,
    ),
}
"""Every attack compared."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one tool reached, judged by a pass of the benchmark's own."""

    reached: Tensor
    norm: Tensor
    forwards: float
    backwards: float


def measure(run: Run, work: Work, radius: float) -> Row:
    """Run one tool once and judge it."""
    forwards, backwards, found = count(work.model, work.images, lambda: run(work))
    found = found.detach().float()
    with torch.no_grad():
        hit = work.model(found).argmax(1) == work.labels
    low, high = found.flatten(1).aminmax(dim=1)
    change = (found.double() - work.images.double()).flatten(1)
    norm = torch.linalg.vector_norm(change, ORDER[work.norm], dim=1)
    reached = hit & (low >= 0) & (high <= 1) & (norm <= radius * (1 + 1e-6))
    return Row(reached, torch.where(reached, norm, torch.inf), forwards, backwards)


def table(attack: Attack, work: Work) -> Iterator[str]:
    """The rows of one attack; unshaken first, the peers beside it image by image."""
    radius = math.inf if attack.minimal else work.eps
    ours = measure(unshaken_attack(attack.ours, minimal=attack.minimal), work, radius)
    for tool in ("unshaken", "foolbox", "art"):
        head = f"| {attack.title}, {attack.norm} | {label(tool)} |"
        if tool == "unshaken":
            row, alone = ours, ""
        elif tool not in attack.peers:
            continue
        elif not installed(tool):
            yield f"| {attack.title}, {attack.norm} | {tool}: {absent(tool)} | | | | |"
            continue
        else:
            row = measure(attack.peers[tool], work, radius)
            alone = f"{int((ours.reached & ~row.reached).sum())} / {int((row.reached & ~ours.reached).sum())}"
        figure = share(int(row.reached.sum()), len(row.reached))
        median = f"{row.norm.median().item():.4f}" if attack.minimal else ""
        yield (
            f"{head} {figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%}) | {alone} | {median} "
            f"| {row.forwards:.0f} / {row.backwards:.0f} |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attacks", default=",".join(ATTACKS), help=f"of {', '.join(ATTACKS)}; default all")
    parser.add_argument("--model", default="demo:standard,demo:robust", help="model SPECs, by commas")
    parser.add_argument("--eps", default="0.1,0.2", help="linf radius of each model, by commas (default 0.1,0.2)")
    parser.add_argument("--data", default="demo", help="a data SPEC (default demo)")
    parser.add_argument("--target", default="next", choices=sorted(RULES), help="rule of targets (default next)")
    parser.add_argument("--images", type=int, default=100, help="images attacked (default 100)")
    parser.add_argument("--cw-steps", type=int, default=100, help="of C&W for each of nine constants (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the tools' randomness (default 0)")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # foolbox imports a renamed scipy namespace
    names, specs, radii = chosen.attacks.split(","), chosen.model.split(","), chosen.eps.split(",")
    if unknown := sorted(set(names) - set(ATTACKS)):
        parser.error(f"unknown attacks {', '.join(unknown)}: use {', '.join(ATTACKS)}")
    if len(radii) != len(specs):
        parser.error(f"--eps {chosen.eps}: give one radius for each of {len(specs)} models")
    torch.set_num_threads(1)
    print(machine())
    for spec, eps in zip(specs, map(parse_number, radii), strict=True):
        model = unshaken.load_model(spec).eval().requires_grad_(False)
        images, labels = first_images(2 * chosen.images, chosen.data, model)
        with torch.no_grad():
            logits = model(images)
        rng = SampleRng.of(chosen.seed, "targets", tuple(str(i) for i in range(len(images))))
        targets = choose_targets(chosen.target, labels, logits, (), rng)
        rows = (logits.argmax(1) == labels).nonzero().flatten()[: chosen.images]
        print(f"\n{spec}, {len(rows)} images of {chosen.data}, target {chosen.target}, eps {eps:g} in linf\n")
        print("| attack | tool | given the target | only ours / only the peer | median norm | forwards / backwards |")
        print("|---|---|---|---|---|---|", flush=True)
        for name in names:
            attack = ATTACKS[name]
            work = Work(
                model=model, images=images[rows], labels=targets[rows], norm=attack.norm, eps=attack.far or eps,
                batch_size=len(rows), seed=chosen.seed, queries=0, cw_steps=chosen.cw_steps, mode="strict",
            )  # fmt: skip
            for line in table(attack, work):
                print(line, flush=True)


if __name__ == "__main__":
    main()
