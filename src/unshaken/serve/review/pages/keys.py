"""Keys of the pages: one letter for each verdict, and what the list of keys says of the others."""

from __future__ import annotations

from unshaken.labels.review.verdict import VerdictKind

CHOICES = (
    ("c", VerdictKind.CONFIRM, "The label is right"),
    ("n", VerdictKind.NOT_IN_CLASSES, "In none of the classes"),
    ("u", VerdictKind.UNCLEAR, "People cannot tell"),
    ("k", VerdictKind.SKIP, "Skip"),
)
"""Verdicts that name no class: key, kind, text of the button."""

HELP = (
    ("c", "confirm: the label is right"),
    ("m", "the model is right, where its suggestion is shown"),
    ("s", "suggest: another class is right; type a part of its name, then Enter"),
    ("v", "several: more than one class is right; Enter records them"),
    ("n", "none of the classes is right"),
    ("u", "unclear: people cannot tell"),
    ("k", "skip: no verdict now"),
    ("z", "undo the last verdict"),
    ("t", "write a note, which goes with c, n or u"),
    ("j or →", "next item"),
    ("←", "item before"),
    ("1 to 8", "why the model is wrong and how badly; when settling, whose verdict to take"),
    ("Esc", "leave a field, so that letters are keys again"),
    ("?", "this list"),
)
"""Keys of the page of an item, for its list of keys."""
