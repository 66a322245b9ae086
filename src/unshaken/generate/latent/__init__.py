"""Generators with a latent code: their interface, codes of given images, and directions along which images change."""
