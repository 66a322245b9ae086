"""Geometry of a data set and of what a network makes of it: intrinsic dimension and label sharpness."""
