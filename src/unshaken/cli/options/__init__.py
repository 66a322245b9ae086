"""Options of the commands, each declared once as an annotated type, in one file per family of commands."""
