"""How the documentation is built: `make docs`."""

import gc
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
gc.set_threshold(100_000, 20, 20)  # most of what is made stays: looking for garbage takes time and finds little

project = "unshaken"
author = project_copyright = "The unshaken authors"
version = release = installed_version("unshaken")

extensions = [
    "myst_nb",  # Markdown, and the tutorials, which are run while the documentation is built
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docstrings",
    "pages",
    "quick_references",
]
toc_object_entries = False  # the navigation of each page would hold every function of the API
exclude_patterns = ["_build", "_ext", "**.ipynb_checkpoints"]
nb_execution_raise_on_error = True
nb_execution_timeout = 300
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache", "ref.python"]  # the latter: a type's short name that two rooms use

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_use_type_comments = False  # types are annotations here; looking for comments parses each function again
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "unshaken"
html_show_sourcelink = False
