"""Gates: conditions on figures, that a run's exit code tells; the grammar alone imports no library."""

from unshaken.core.package import open_package

open_package(__name__)
