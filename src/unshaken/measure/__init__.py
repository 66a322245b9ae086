"""Figures with intervals, from columns of rows: numpy and scipy alone, no model and no run directory."""

from unshaken.core.package import open_package

open_package(__name__)
