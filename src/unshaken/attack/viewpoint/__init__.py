"""Viewpoints that a model fails from: searches over the camera's place, for objects that can be rendered."""
