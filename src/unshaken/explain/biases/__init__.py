"""Cues that a model uses: shape or texture, low or high frequencies, object or background; simplicity of its units."""
