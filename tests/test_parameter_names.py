"""One meaning has one name: what a parameter's description says decides what it is called, in every method."""

from __future__ import annotations

import re

import pytest

from unshaken.core import list_methods

NAMES = {
    r"learning rate\b|^Adam's rate": "lr",
    r"^temperature\b|^T\b.*divide|^divides the (logits|cosines)": "temperature",
    r"^(number of )?(gradient|optimizer|diffusion) steps\b|^steps of (Adam|(the|a) (first )?search)": r"(\w+_)?steps",
    r"\bnoisy copies\b": r"n|n0|copies",
    r"probability that a certificate is wrong|counts only by chance": "alpha",
    r"number of random restarts": "restarts",
    r"^(number of )?(rendered )?(images|pictures) (of a|per) step\b": "batch_size",
    r"passes over the (training )?images": "epochs",
    r"^passes (of the teacher )?with dropout": "draws",
    r"\bradius (of \w+ )?in \[0, 1\] pixel units": r"(\w+_)?eps",
    r"length( a)? of (a|the one) step, as a share of eps": "rel_stepsize",
    r"length( a)? of a step, in (?!the unit of eps)": "step_size",
    r"^deviation of the( normal)?( input)? noise\b|^deviation of that normal noise": r"sigma(_\w+)?",
    r"\bshare of wrong labels": "noise_rate",
    r"^weight of the total variation": "tv",
    r"^side of a cell in pixels": "size",
    r"^probability of (a|the) mirror image": "mirror",
    r"^width of the black frame": "pad",
    r"^random seed\b": r"(\w+_)?seed",
}
"""What a description says, by a pattern, to the names that such a parameter may have."""

MEANINGS = {
    "alpha": ("certify", r"probability that|by chance"),
    "lr": ("", r"\brate\b"),
    "temperature": ("", r"\bT\b|temperature|divides the logits"),
    "batch_size": ("", r"step"),
    "copies": ("", r"copies|noises of each image"),
    "restarts": ("", r"restarts|runs|placements"),
    "rel_stepsize": ("", r"share of eps"),
    "noise_rate": ("", r"share of wrong labels"),
    "n0": ("certify", r"noisy copies"),
    "n": ("certify", r"noisy copies"),
    "tau": ("", r"(?!)"),
    "votes": ("", r"(?!)"),
    "iterations": ("", r"(?!)"),
    "batch": ("", r"(?!)"),
    "rate": ("", r"(?!)"),
}
"""A name to the room it is looked at in (empty for all), and what its description then says; `(?!)` is never met."""

METHODS = [m for m in list_methods() if m.cls.__module__.startswith("unshaken.")]
FIELDS = [(m, name, field.description or "") for m in METHODS for name, field in m.cls.model_fields.items()]


def wrong_name(name: str, description: str) -> str | None:
    """What a parameter that is described so should be called, where it is not."""
    for meaning, names in NAMES.items():
        if re.search(meaning, description) and not re.fullmatch(names, name):
            return f"{name} is described as {description!r}: call it {names}"
    return None


def wrong_meaning(room: str, name: str, description: str) -> str | None:
    where, meaning = MEANINGS.get(name, ("", ""))
    if where in ("", room) and not re.search(meaning, description):
        return f"{name} is described as {description!r}: {name} is for {meaning} alone"
    return None


def test_a_meaning_has_one_name():
    wrong = [f"{m.name}: {found}" for m, name, text in FIELDS if (found := wrong_name(name, text)) is not None]
    assert not wrong, "\n".join(wrong)


def test_a_name_has_one_meaning():
    wrong = [f"{m.name}: {found}" for m, name, text in FIELDS if (found := wrong_meaning(m.room, name, text))]
    assert not wrong, "\n".join(wrong)


def test_every_line_of_the_table_is_of_some_method():
    for meaning in NAMES:
        assert any(re.search(meaning, text) for _, _, text in FIELDS), meaning


def test_pixels_are_in_one_unit():
    wrong = [f"{m.name}: {name}" for m, name, text in FIELDS if re.search(r"units of the pixel range", text)]
    assert not wrong, "say 'in [0, 1] pixel units': " + ", ".join(wrong)


@pytest.mark.parametrize(
    ("name", "description", "right"),
    [
        ("tau", "temperature of the loss", "call it temperature"),
        ("rate", "learning rate of Adam", "call it lr"),
        ("votes", "number of noisy copies that classify", "call it n|n0|copies"),
        ("batch", "number of images per step", "call it batch_size"),
    ],
)
def test_a_new_method_is_told_the_name(name, description, right):
    assert right in (wrong_name(name, description) or "")
    assert wrong_name(right.split()[2].split("|")[0], description) is None


def test_alpha_is_a_probability_in_certificates():
    assert wrong_meaning("certify", "alpha", "weight of the smoothed model") is not None
    assert wrong_meaning("harden", "alpha", "parameter of the Beta distribution") is None
