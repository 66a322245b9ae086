"""Units: what excites each channel of a network, in words, and what the network is without it."""
