"""How well a texture can be laid beside copies of itself."""
