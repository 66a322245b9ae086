"""Changes that a texture does not survive as a tile."""
