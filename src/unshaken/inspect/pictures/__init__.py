"""Checks of single images: dark, bright, blurry, grey, of an odd size or shape, or with little on them."""
