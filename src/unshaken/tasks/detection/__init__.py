"""Detection of objects: boxes, their classes and scores."""
