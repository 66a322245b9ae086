"""How each peer is asked for an attack; used by `attack_suite.py`.

An adapter takes a `Work` and returns adversarial images, the peer's own way, with the peer's random state set from the
seed and the caller's put back.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unshaken.core import Classifier

PGD_STEPS, MI_STEPS, APGD_STEPS, DEEPFOOL_STEPS, SEARCH_STEPS = 40, 10, 100, 50, 9
ORDER: dict[str, float] = {"linf": np.inf, "l2": 2, "l1": 1}
OFFICIAL = {"linf": "Linf", "l2": "L2", "l1": "L1"}
FAR = 1e10
"""The radius that lets a search for the smallest norm keep all that it finds."""


@dataclass(frozen=True, slots=True)
class Work:
    """What every tool is given.

    Args:
        model: in evaluation mode.
        images: `[N, C, H, W]` in [0, 1].
        labels: `[N]`.
        norm: `linf`, `l2` or `l1`.
        eps: radius in [0, 1] pixel units; searches for the smallest norm do not use it.
        batch_size: images a pass at most.
        seed: of the tool's randomness.
        queries: of the square attack.
        cw_steps: inner steps of Carlini and Wagner's attack, for each of nine constants.
        mode: `strict` or `fast`, for unshaken's `autoattack`.
    """

    model: Classifier
    images: Tensor
    labels: Tensor
    norm: str
    eps: float
    batch_size: int
    seed: int
    queries: int
    cw_steps: int
    mode: str

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels in pieces."""
        return zip(self.images.split(self.batch_size), self.labels.split(self.batch_size), strict=True)


Run = Callable[[Work], Tensor]
Piece = Callable[[Tensor, Tensor], Tensor]
Arguments = Callable[[Work], dict[str, Any]]


def seeded(make: Callable[[Work], Piece], *, whole: bool = False) -> Run:
    """An adapter from what makes a tool's attack: global seeds set and put back, chatter kept off stdout.

    Args:
        make: gives the attack on one batch.
        whole: it makes batches itself.
    """

    def run(work: Work) -> Tensor:
        np.random.seed(work.seed)  # noqa: NPY002 - ART draws from numpy's global generator
        with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(io.StringIO()):
            torch.manual_seed(work.seed)
            attack = make(work)
            if whole:
                return attack(work.images, work.labels).detach()
            return torch.cat([attack(x, y).detach() for x, y in work.batches()])

    return run


def plain_pgd(work: Work) -> Piece:
    """The loop that one writes by hand."""

    def attack(x: Tensor, y: Tensor) -> Tensor:
        low, high = (x - work.eps).clamp(min=0), (x + work.eps).clamp(max=1)
        point = (x + work.eps * (2 * torch.rand_like(x) - 1)).clamp(low, high)
        for _ in range(PGD_STEPS):
            point.requires_grad_(True)
            (gradient,) = torch.autograd.grad(F.cross_entropy(work.model(point), y, reduction="sum"), point)
            point = (point.detach() + work.eps / 30 * gradient.sign()).clamp(low, high)
        return point

    return attack


# torchattacks


def torchattack(name: str, arguments: Arguments, *, l2: str | None = None) -> Run:
    """`torchattacks.<name>`, where l2 has another class `torchattacks.<l2>`."""

    def make(work: Work) -> Piece:
        import torchattacks

        attack: Piece = getattr(torchattacks, l2 if l2 and work.norm == "l2" else name)(work.model, **arguments(work))
        return attack

    return seeded(make)


def normed(work: Work) -> dict[str, Any]:
    """Norm, radius and seed as torchattacks has them."""
    return {"norm": OFFICIAL[work.norm], "eps": work.eps, "seed": work.seed}


# AutoAttack's own code


def official_apgd(work: Work) -> Piece:
    """`APGDAttack` on the cross-entropy, one start."""
    from autoattack.autopgd_base import APGDAttack

    attack = APGDAttack(
        work.model, n_iter=APGD_STEPS, norm=OFFICIAL[work.norm], eps=work.eps, seed=work.seed, loss="ce", device="cpu"
    )
    attack.use_largereps = work.norm == "l1"
    return attack.perturb  # type: ignore[no-any-return]


def official_apgd_targeted(work: Work) -> Piece:
    """`APGDAttack_targeted` towards nine classes (five in l1), as AutoAttack has it."""
    from autoattack.autopgd_base import APGDAttack_targeted

    attack = APGDAttack_targeted(
        work.model, n_iter=APGD_STEPS, norm=OFFICIAL[work.norm], eps=work.eps, seed=work.seed, device="cpu"
    )
    attack.use_largereps = work.norm == "l1"
    attack.n_target_classes = targets(work)
    return attack.perturb  # type: ignore[no-any-return]


def official_fab(work: Work) -> Piece:
    """`FABAttack_PT` from the image, all it finds kept."""
    from autoattack.fab_pt import FABAttack_PT

    attack = FABAttack_PT(work.model, norm=OFFICIAL[work.norm], n_iter=APGD_STEPS, eps=FAR, seed=work.seed)
    attack.device = work.images.device
    return attack.perturb  # type: ignore[no-any-return]


def official_fab_targeted(work: Work) -> Piece:
    """`FABAttack_PT` towards nine classes in turn, the nearest example kept; `perturb` would stop at the first."""
    from autoattack.fab_pt import FABAttack_PT

    attack = FABAttack_PT(work.model, norm=OFFICIAL[work.norm], n_iter=APGD_STEPS, eps=FAR, seed=work.seed)
    attack.device, attack.targeted = work.images.device, True

    def nearest(x: Tensor, y: Tensor) -> Tensor:
        best, norm = x.clone(), torch.full((len(x),), torch.inf)
        with torch.no_grad():
            for target in range(2, min(9, _classes(work) - 1) + 2):
                attack.target_class = target
                found = attack.attack_single_run(x, y, use_rand_start=False, is_targeted=True)
                wrong = work.model(found).argmax(1) != y
                length = torch.linalg.vector_norm((found - x).flatten(1), ORDER[work.norm], dim=1)
                rows = wrong & (length < norm)
                best[rows], norm[rows] = found[rows], length[rows]
        return best

    return nearest


def official_square(work: Work) -> Piece:
    """`SquareAttack` with AutoAttack's schedule on the raw query index."""
    from autoattack.square import SquareAttack

    attack = SquareAttack(
        work.model,
        norm=OFFICIAL[work.norm],
        n_queries=work.queries,
        eps=work.eps,
        seed=work.seed,
        resc_schedule=False,
        device=work.images.device,
    )

    def perturb(x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = attack.perturb(x, y)
        return found

    return perturb


def official_autoattack(work: Work) -> Piece:
    """`AutoAttack`, version standard; `queries` is its 5000 unless asked otherwise."""
    from autoattack import AutoAttack

    attack = AutoAttack(
        work.model,
        norm=OFFICIAL[work.norm],
        eps=work.eps,
        seed=work.seed,
        verbose=False,
        version="standard",
        device="cpu",
    )
    attack.square.n_queries = work.queries
    attack.apgd_targeted.n_target_classes = min(attack.apgd_targeted.n_target_classes, _classes(work) - 1)
    attack.fab.n_target_classes = min(attack.fab.n_target_classes, _classes(work) - 1)

    def evaluate(x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = attack.run_standard_evaluation(x, y, bs=work.batch_size)
        return found

    return evaluate


# foolbox


def foolbox_attack(linf: str, l2: str, arguments: Arguments, *, minimal: bool = False) -> Run:
    """`foolbox.attacks.<name>` with one epsilon, or without one for the smallest norm; the clipped images are taken."""

    def make(work: Work) -> Piece:
        import foolbox

        wrapped = foolbox.PyTorchModel(work.model, bounds=(0, 1), device="cpu")
        attack = getattr(foolbox.attacks, {"linf": linf, "l2": l2}[work.norm])(**arguments(work))
        return lambda x, y: without_blanks(attack(wrapped, x, y, epsilons=None if minimal else work.eps)[1], x)

    return seeded(make)


def without_blanks(found: Tensor, images: Tensor) -> Tensor:
    """Put the images in the place of black ones, by which foolbox's C&W says that it found none.

    Args:
        found: `[N, C, H, W]`.
        images: as `found`.
    """
    return torch.where((found == 0).flatten(1).all(1).view(-1, 1, 1, 1), images, found)


# adv-lib


def adv_lib_attack(name: str, arguments: Arguments) -> Run:
    """`adv_lib.attacks.<name>`."""

    def make(work: Work) -> Piece:
        import adv_lib.attacks

        attack, given = getattr(adv_lib.attacks, name), arguments(work)
        return lambda x, y: attack(work.model, x, y, **given)

    return seeded(make)


# ART


def art_attack(name: str, arguments: Arguments) -> Run:
    """`art.attacks.evasion.<name>`, which takes and gives numpy arrays."""

    def make(work: Work) -> Piece:
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier

        classifier = PyTorchClassifier(
            work.model,
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(work.images.shape[1:]),
            nb_classes=_classes(work),
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )
        attack = getattr(evasion, name)(classifier, batch_size=work.batch_size, **arguments(work))
        return lambda x, y: torch.from_numpy(attack.generate(x.numpy(), y.numpy()))

    return seeded(make)


def targets(work: Work) -> int:
    """How many classes targeted attacks try, as AutoAttack has it: nine, in l1 five, at most all others."""
    return min(5 if work.norm == "l1" else 9, _classes(work) - 1)


def _classes(work: Work) -> int:
    with torch.no_grad():
        return int(work.model(work.images[:1]).shape[1])
