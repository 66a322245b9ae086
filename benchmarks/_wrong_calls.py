"""Wrong command lines for `wrong_input.py`: a right one with one option replaced by a wrong value."""

from __future__ import annotations

import random

COUNTS = ("9" * 25, "9" * 5000, " 5", "5 ", "", *["-1", "1_0", "٣", "nan", "inf", "1e3", "0x10", "1.5", "True", "５"])
NUMBERS = ("", *["nan", "inf", "-inf", "1e999", "1/0", "٨/٢", "8//255", "much", "1_0", "0x1p3", "1e", "1,5", "½"])
PLACES = ("", " ", "\n", "\x1b[2J", "a\0b", "x" * 5000, "::", "file://rel/x", "net.py/x", "~nosuchuser/x", "data:,x")
PROTOCOLS = ("reference", "dbfs", "simplecache:", "memory", "http", "zip", "nosuch", "jupyter", "github", "cached")
DATA = """|nope|photos|folder:absent|folder:~nosuch|folder:net.py|zip:photos|parquet:net.py|parquet:/dev/zero
folder:photos?size=0|folder:photos?size=8&size=9|folder:photos?mode=CMYK|folder:photos?size=\u0668|idx:photos
folder:photos?split=../..|wds:{9..1}.tar|wds:{0..99999999999}.tar|folder:photos?x=1|folder:photos?size
folder:\x1b[2J|parquet:a.parquet?split=x|wds:http://x/a.tar"""
MODELS = """|nope|py:net.py|py:net.py:biuld|py:absent.py:build|py:no.module:f|demo:strong|run:photos|onnx:net.py
py:net.py:build?mean=nan&std=1|py:net.py:build?mean=0.5|py:net.py:build?std=0&mean=0|weights:net.py?arch=resnet18
py:net.py:build?classes=99999999999|py:net.py:build?size=8&size=9|py:net.py:build?size=\u0668
weights:/dev/zero?arch=small|torchvision:resnet999|demo?defence=mixture|demo?defence=nope|demo?defence=pgd
py:net.py:build?size=1x|demo?size=9999999"""
OWN = ["--model", "py:net.py:build", "--data", "folder:photos"]
BASES: dict[str, list[str]] = {
    "audit": ["audit", *OWN, "--plan", "fog.yaml", "--out", "new"],
    "attack": ["attack", *OWN, "--out", "new"],
    "certify": ["certify", *OWN, "--not-attacked", "--out", "new"],
    "fit": ["detect", "fit", *OWN, "--method", "msp", "--out", "new"],
    "score": ["detect", "score", *OWN, "--detectors", "doors", "--not-attacked", "--out", "new"],
    "explain": ["explain", "gradient", *OWN, "--metric", "deletion:steps=2", "--out", "new"],
    "harden": ["harden", "--model", "small", "--data", "folder:photos", "--epochs", "1", "--out", "new"],
}
"""Command lines that are right."""
WRONG: dict[str, tuple[str, ...]] = {
    "--limit": (*COUNTS, "0"),
    "--seed": COUNTS,
    "--workers": (*COUNTS, "0", "1000000"),
    "--device": ("", "CPU ", *["cpu:99", "cpu:0:0", "tpu", "cuda:-1", "cpu,cuda", "٣"]),
    "--out": (*PLACES, *(f"{p}://x" for p in PROTOCOLS)),
    "--data": tuple(DATA.replace("\n", "|").split("|")),
    "--model": tuple(MODELS.replace("\n", "|").split("|")),
    "--limitx": ("3",),
}
"""Options of every verb, and their wrong values."""
OF_RUNS: dict[str, tuple[str, ...]] = {
    "--batch-size": (*COUNTS, "0"),
    "--save-examples": (*COUNTS, "some"),
    "--eot": (*COUNTS, "0"),
    "--precision": ("", "fp32 ", "fp8", "FP32"),
    "--engine": ("", "local ", "slurm"),
    "--gate": ("", "x", "clean.accuracy >= 1_0", "a[b=]>1"),
    "--allow-code": ("", "demo", "py", "net.py"),
}
OF_VERBS: dict[str, dict[str, tuple[str, ...]]] = {
    "audit": {},
    "fit": {"--method": ("", "msp ", "knnn", "energy:temperature=0", "energy:temperature=nan", "msp:a=1")},
    "attack": {
        "--method": (
            *("pgd:steps=10,steps=20", "pgd:steps", "pgd:=3", "pgd:a=1", "spatial\0", "pgd:steps=0", "pdg", "pgd "),
            *(f"pgd:steps={n}" for n in COUNTS if n == n.strip() != ""),
            *(f"pgd:rel_stepsize={n}" for n in NUMBERS if "," not in n),
        ),
        "--norm": ("", "L2 ", "l7", "linf,l2", "2"),
        "--eps": NUMBERS,
    },
    "certify": {
        "--method": (
            *("smoothing:sigma=0.25,sigma=0.5", "smoothing:sigma=0", "smoothing:n=5", "smothing", "pgd"),
            *(f"smoothing:sigma={n}" for n in NUMBERS if "," not in n),
            *(f"smoothing:n={n}" for n in COUNTS if n == n.strip() != ""),
        ),
        "--radius": NUMBERS,
    },
    "score": {
        "--shift": ("", "fog", "fog-9", "frog-1", "fog-1_0"),
        "--accept": (*NUMBERS, "1.5", "-0.1"),
        "--against": ("", "..=demo", "a b=demo", "far=", "=demo"),
    },
    "explain": {
        "--metric": (
            *("", "gradient", "insertoin", "deletion ", "pointing-game", "mask-share", "deletion:steps=2,steps=3"),
            *(f"deletion:steps={n}" for n in COUNTS if n == n.strip() != ""),
            *(f"infidelity:sigma={n}" for n in NUMBERS if "," not in n),
        ),
        "--boxes": (*PLACES, "net.py", "photos", "/dev/zero"),
        "--masks": (*PLACES, "net.py", "absent"),
        "--target": ("", "3", "label ", "Prediction"),
        "--save-maps": (*(n for n in COUNTS if n != "-1"), "-2"),
        "--batch-size": (*COUNTS, "0"),
    },
    "harden": {
        "--lr": (*NUMBERS, "-1", "1e9"),
        "--set": ("", "x", "lr=1_0", "colour=1", "=1", "schedule=none"),
        "--method": ("", "tradez", "trades ", *(f"trades:eps={n}" for n in NUMBERS if "," not in n)),
    },
}
TOGETHER = {
    "attack": ["--method", "spatial", "--norm", "l2"],
    "explain": ["gradcam:layer=absent"],
    "harden": ["--set", "weight_decay=0.1", "--set", "weight_decay=0.2"],
}
"""What is wrong only together."""


def wrong_call(dice: random.Random) -> list[str]:
    """A command line with one thing wrong."""
    verb = dice.choice(list(BASES))
    options = {**WRONG, **(OF_RUNS if verb in ("audit", "attack", "certify", "score") else {}), **OF_VERBS[verb]}
    if verb == "score":
        options["--model"] = options["--model"][:8]  # any right model is another than the detectors'
    if verb in TOGETHER and dice.random() < 0.05:
        return [*BASES[verb], *TOGETHER[verb]]
    if dice.random() < 0.02:
        return [*BASES[verb], "surplus"]
    option = dice.choice(list(options))
    return replaced(BASES[verb], option, dice.choice(options[option]))


def replaced(base: list[str], option: str, value: str) -> list[str]:
    """A command line with another value of an option."""
    if option in base:
        place = base.index(option)
        return [*base[: place + 1], value, *base[place + 2 :]]
    return [*base, option, value]
