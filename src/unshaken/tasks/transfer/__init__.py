"""Networks that were trained on other data, on a user's own."""
