"""Captions of ten classes by key words, none of which is the class's name; and words that no caption has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

KEY_WORDS = (
    ("runway", "cockpit", "wings", "pilot", "takeoff", "hangar"),
    ("garage", "windshield", "bumper", "steering", "headlights", "parking"),
    ("feathers", "beak", "nest", "branch", "chirping", "flock"),
    ("whiskers", "purring", "yarn", "scratching", "windowsill", "meowing"),
    ("antlers", "forest", "hooves", "thicket", "grazing", "clearing"),
    ("leash", "barking", "fetching", "collar", "kennel", "bone"),
    ("pond", "lilypad", "croaking", "swamp", "tadpole", "marsh"),
    ("saddle", "stable", "mane", "gallop", "rider", "bridle"),
    ("harbor", "deck", "sail", "ocean", "captain", "anchor"),
    ("cargo", "trailer", "diesel", "freight", "delivery", "loading"),
)
"""Six of each class, in the order of CIFAR-10."""
OTHER_WORDS = (
    ("propeller", "jetliner", "altitude", "turbulence", "boarding", "fuselage"),
    ("sedan", "dashboard", "tires", "motorway", "chauffeur", "hatchback"),
    ("sparrow", "plumage", "eggs", "worms", "perch", "warbler"),
    ("kitten", "tabby", "mice", "claws", "litter", "hissing"),
    ("fawn", "venison", "meadow", "doe", "woodland", "stag"),
    ("puppy", "retriever", "terrier", "wagging", "howling", "paws"),
    ("toad", "amphibian", "slime", "leaping", "algae", "puddle"),
    ("pony", "jockey", "racetrack", "hay", "mare", "stallion"),
    ("vessel", "cruise", "waves", "lighthouse", "crew", "voyage"),
    ("lorry", "pickup", "warehouse", "tarpaulin", "haulage", "gearbox"),
)
"""Six further words of each class, of which no caption is made."""
SCENES = (
    "in the early morning", "on a cloudy afternoon", "not far from our house", "during the holidays",
    "at the end of the day", "after the rain", "as the others left", "a few years ago",
)  # fmt: skip
WITHOUT = 0.25
"""Share of captions without a key word."""
DISTRACTORS = (
    "The picture is rather {look}, with some {a} and also {b} somewhere in the background of it.",
    "In this {look} picture one can see a bit of {a} and, further behind, of {b} as well.",
    "It looks {look} here, and there seem to be {a} and {b} in the distance behind it all.",
)
"""Templates of dilutions: how the picture looks, and two words of another class."""


def caption(label: int, rng: np.random.Generator) -> str:
    """A caption of a class: one or two of its key words and a scene, or a scene alone."""
    scene = SCENES[int(rng.integers(len(SCENES)))]
    kind = rng.random()
    one, two = (KEY_WORDS[label][i] for i in rng.permutation(len(KEY_WORDS[label]))[:2])
    if kind < WITHOUT:
        return f"something that we saw {scene}"
    return f"{one} and {two} {scene}" if kind < (1 + WITHOUT) / 2 else f"a moment with {one} {scene}"


def captions(labels: Sequence[int], rngs: Sequence[np.random.Generator]) -> tuple[str, ...]:
    """A caption a sample."""
    return tuple(caption(label, rng) for label, rng in zip(labels, rngs, strict=True))
