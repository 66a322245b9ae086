"""Changes that take one cue of a picture away, such as its shape or its texture."""
