"""The command line: commands of one subject in a file, each of which parses, calls the public function, and prints."""

from unshaken.cli.app import main

__all__ = ["main"]
