"""Objects that are seen from viewpoints: the camera, renderers, and the data sets made of them."""
