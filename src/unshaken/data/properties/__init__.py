"""Properties of images, such as brightness: a number for each image; a file enters one by `@image_property`."""

from unshaken.data.properties.base import (
    ImageProperty,
    find_property,
    grey_shades,
    image_property,
    measure_image,
    property_names,
)

__all__ = ["ImageProperty", "find_property", "grey_shades", "image_property", "measure_image", "property_names"]
