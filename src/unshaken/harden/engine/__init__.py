"""The one training loop, and what recipes and defences share."""
