"""Fingerprints of models, files and data that recipes name, such as a teacher or a generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unshaken.data import load_data
from unshaken.data.dataset import content_mark
from unshaken.harden.engine.recipe import Recipe
from unshaken.models import fingerprint
from unshaken.models.loaders.load import second_model


def further_content(recipes: Sequence[Recipe]) -> dict[str, str]:
    """Fingerprints of models, files, folders and data that recipes name, by how they are named.

    A file or folder that does not exist is left out: the recipe says so when it begins.

    Args:
        recipes: of a training run.

    Raises:
        ModelError: a model cannot be loaded.
        DataError: data cannot be opened.
    """
    models = {spec for recipe in recipes for spec in recipe.further_models}
    files = {name for recipe in recipes for name in recipe.further_files if Path(name).exists()}
    data = {spec for recipe in recipes for spec in recipe.further_data}
    return {
        **{spec: fingerprint(second_model(spec)) for spec in sorted(models)},
        **{name: content_mark(Path(name)) for name in sorted(files)},
        **{spec: load_data(spec).fingerprint for spec in sorted(data)},
    }
