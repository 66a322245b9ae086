"""Tasks beside plain classification: a task says what a model's output means, and which rows and figures follow."""

from unshaken.core.package import open_room

open_room(__name__)
