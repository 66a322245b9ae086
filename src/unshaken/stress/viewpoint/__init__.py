"""Views of an object from other places: the camera, and a renderer of signed distances."""
