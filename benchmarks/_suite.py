"""The attack suite: every attack, how unshaken is asked for it, and which peers have it, at the same steps for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from _peer_attacks import (
    APGD_STEPS,
    DEEPFOOL_STEPS,
    FAR,
    MI_STEPS,
    ORDER,
    PGD_STEPS,
    SEARCH_STEPS,
    Run,
    adv_lib_attack,
    art_attack,
    foolbox_attack,
    normed,
    official_apgd,
    official_apgd_targeted,
    official_autoattack,
    official_fab,
    official_fab_targeted,
    official_square,
    plain_pgd,
    seeded,
    targets,
    torchattack,
)


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack, who has it, and how unshaken is asked for it.

    Args:
        title: for the table's head.
        ours: unshaken's spec, a format of `queries`, `cw_steps`, `mode` and `targets` (9 or all, in l1 5).
        norms: of unshaken's.
        peers: tool to its norms and adapter.
        minimal: searches for the smallest norm.
    """

    title: str
    ours: str
    norms: tuple[str, ...]
    peers: Mapping[str, tuple[tuple[str, ...], Run]]
    minimal: bool = False


LINF, L2, TWO, ALL = ("linf",), ("l2",), ("linf", "l2"), ("linf", "l2", "l1")
CW = {"binary_search_steps": SEARCH_STEPS, "initial_const": 1e-3}

ATTACKS: dict[str, Attack] = {
    "fgsm": Attack(
        "FGSM",
        "fgsm",
        TWO,
        {
            "torchattacks": (LINF, torchattack("FGSM", lambda w: {"eps": w.eps})),
            "foolbox": (TWO, foolbox_attack("LinfFastGradientAttack", "L2FastGradientAttack", lambda w: {})),
            "art": (TWO, art_attack("FastGradientMethod", lambda w: {"norm": ORDER[w.norm], "eps": w.eps})),
        },
    ),
    "pgd": Attack(
        f"PGD, {PGD_STEPS} steps of eps/30",
        f"pgd:steps={PGD_STEPS},rel_stepsize=1/30",
        TWO,
        {
            "plain": (LINF, seeded(plain_pgd)),
            "torchattacks": (
                TWO,
                torchattack("PGD", lambda w: {"eps": w.eps, "alpha": w.eps / 30, "steps": PGD_STEPS}, l2="PGDL2"),
            ),
            "foolbox": (
                TWO,
                foolbox_attack("LinfPGD", "L2PGD", lambda w: {"abs_stepsize": w.eps / 30, "steps": PGD_STEPS}),
            ),
            "adv-lib": (LINF, adv_lib_attack("pgd_linf", lambda w: {"ε": w.eps, "steps": PGD_STEPS})),
            "art": (
                TWO,
                art_attack(
                    "ProjectedGradientDescentPyTorch",
                    lambda w: {
                        "norm": ORDER[w.norm],
                        "eps": w.eps,
                        "eps_step": w.eps / 30,
                        "max_iter": PGD_STEPS,
                        "num_random_init": 1,
                        "verbose": False,
                    },
                ),
            ),
        },
    ),
    "mi-fgsm": Attack(
        f"MI-FGSM, {MI_STEPS} steps of eps/{MI_STEPS}",
        f"mi-fgsm:steps={MI_STEPS}",
        LINF,
        {
            "torchattacks": (
                LINF,
                torchattack("MIFGSM", lambda w: {"eps": w.eps, "alpha": w.eps / MI_STEPS, "steps": MI_STEPS}),
            ),
            "art": (
                LINF,
                art_attack(
                    "MomentumIterativeMethod",
                    lambda w: {"eps": w.eps, "eps_step": w.eps / MI_STEPS, "max_iter": MI_STEPS, "verbose": False},
                ),
            ),
        },
    ),
    "apgd": Attack(
        f"APGD-CE, {APGD_STEPS} steps, one start",
        f"apgd:steps={APGD_STEPS},loss=ce",
        ALL,
        {
            "autoattack": (ALL, seeded(official_apgd)),
            "torchattacks": (TWO, torchattack("APGD", lambda w: {**normed(w), "steps": APGD_STEPS})),
            "adv-lib": (
                ALL,
                adv_lib_attack(
                    "apgd",
                    lambda w: {
                        "eps": w.eps,
                        "norm": ORDER[w.norm],
                        "n_iter": APGD_STEPS,
                        "loss_function": "ce",
                        "use_large_reps": w.norm == "l1",
                    },
                ),
            ),
        },
    ),
    "apgd-t": Attack(
        f"APGD-T, targeted DLR, {APGD_STEPS} steps towards each of nine classes (five in l1)",
        f"apgd:steps={APGD_STEPS},loss=dlr-targeted,targets={{targets}}",
        ALL,
        {
            "autoattack": (ALL, seeded(official_apgd_targeted)),
            "torchattacks": (TWO, torchattack("APGDT", lambda w: {**normed(w), "steps": APGD_STEPS})),
            "adv-lib": (
                ALL,
                adv_lib_attack(
                    "apgd_targeted",
                    lambda w: {
                        "eps": w.eps,
                        "norm": ORDER[w.norm],
                        "n_iter": APGD_STEPS,
                        "use_large_reps": w.norm == "l1",
                        "num_targets": targets(w),
                    },
                ),
            ),
        },
    ),
    "deepfool": Attack(
        f"DeepFool, {DEEPFOOL_STEPS} steps, ten classes",
        f"deepfool:steps={DEEPFOOL_STEPS}",
        TWO,
        {
            "torchattacks": (L2, torchattack("DeepFool", lambda w: {"steps": DEEPFOOL_STEPS})),
            "foolbox": (
                TWO,
                foolbox_attack(
                    "LinfDeepFoolAttack", "L2DeepFoolAttack", lambda w: {"steps": DEEPFOOL_STEPS}, minimal=True
                ),
            ),
            "adv-lib": (TWO, adv_lib_attack("df", lambda w: {"steps": DEEPFOOL_STEPS, "norm": ORDER[w.norm]})),
        },
        minimal=True,
    ),
    "carlini-wagner": Attack(
        f"Carlini and Wagner, {SEARCH_STEPS} constants (torchattacks: the same steps in all, one constant)",
        f"carlini-wagner:steps={{cw_steps}},search_steps={SEARCH_STEPS}",
        L2,
        {
            "torchattacks": (L2, torchattack("CW", lambda w: {"steps": SEARCH_STEPS * w.cw_steps})),
            "foolbox": (
                L2,
                foolbox_attack("", "L2CarliniWagnerAttack", lambda w: {**CW, "steps": w.cw_steps}, minimal=True),
            ),
            "adv-lib": (L2, adv_lib_attack("carlini_wagner_l2", lambda w: {**CW, "max_iterations": w.cw_steps})),
            "art": (L2, art_attack("CarliniL2Method", lambda w: {**CW, "max_iter": w.cw_steps, "verbose": False})),
        },
        minimal=True,
    ),
    "fab": Attack(
        f"FAB, {APGD_STEPS} steps (peers: towards the nearest of all classes; unshaken: of the likeliest few)",
        f"fab:steps={APGD_STEPS},targeted=false",
        ALL,
        {
            "autoattack": (ALL, seeded(official_fab)),
            "torchattacks": (TWO, torchattack("FAB", lambda w: {**normed(w), "eps": FAR, "steps": APGD_STEPS})),
            "adv-lib": (ALL, adv_lib_attack("fab", lambda w: {"norm": ORDER[w.norm], "n_iter": APGD_STEPS})),
        },
        minimal=True,
    ),
    "fab-t": Attack(
        f"FAB-T, {APGD_STEPS} steps towards each of nine classes, the nearest kept",
        f"fab:steps={APGD_STEPS},targeted=true",
        ALL,
        {
            "autoattack": (ALL, seeded(official_fab_targeted)),
            "adv-lib": (
                ALL,
                adv_lib_attack(
                    "fab",
                    lambda w: {
                        "norm": ORDER[w.norm],
                        "n_iter": APGD_STEPS,
                        "targeted_restarts": True,
                        "restarts": 9,
                    },
                ),
            ),
        },
        minimal=True,
    ),
    "square": Attack(
        "Square, one start",
        "square:queries={queries}",
        ALL,
        {
            "autoattack": (ALL, seeded(official_square)),
            "torchattacks": (
                TWO,
                torchattack("Square", lambda w: {**normed(w), "n_queries": w.queries, "resc_schedule": False}),
            ),
        },
    ),
    "autoattack": Attack(
        "AutoAttack, version standard",
        "autoattack:version=standard,mode={mode},queries={queries}",
        ALL,
        {"autoattack": (ALL, seeded(official_autoattack, whole=True))},
    ),
}
"""Every attack of the suite."""
