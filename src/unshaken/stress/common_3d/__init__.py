"""The 3D Common Corruptions: those that need the depth of each pixel, and the camera's noise that comes with them."""
