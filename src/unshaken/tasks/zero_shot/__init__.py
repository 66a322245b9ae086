"""Zero-shot classifiers: prompts, and models compared over six aspects of robustness by six factors of their design."""

from unshaken.core.package import open_package

open_package(__name__)
