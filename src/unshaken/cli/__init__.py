"""The command line: one file a verb, each of which parses, calls the public function, and prints."""

from unshaken.cli.app import main

__all__ = ["main"]
