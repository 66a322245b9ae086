"""Certificates of robustness, and the defences that they certify."""

from unshaken.core.package import open_room

open_room(__name__)
