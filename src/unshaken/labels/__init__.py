"""Wrong labels: methods that find them, how many there are, and labels that people have settled."""

from unshaken.core.package import open_room

open_room(__name__)
