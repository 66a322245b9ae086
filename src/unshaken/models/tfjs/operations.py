"""The operations of graphs, as functions of tensors `[N, H, W, C]`, TensorFlow's layout.

An image in this layout, seen as `[N, C, H, W]`, is what torch calls channels last: changing the view copies nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.numbers import shorten

_LARGEST = 1 << 31


class Attributes:
    """The attributes of a node, by name and type.

    Args:
        values: as the JSON file has them, such as `{"strides": {"list": {"i": ["1", "2", "2", "1"]}}}`.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def whole_numbers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """A list of whole numbers.

        Raises:
            ValueError: it is absent without a default, or no such list.
        """
        if default is not None and name not in self._values:
            return default
        found = self._value(name, "list", None)
        items = found.get("i", []) if isinstance(found, Mapping) else None
        if not isinstance(items, list) or len(items) > 16:
            raise ValueError(f"its attribute {name} is no list of whole numbers")
        return tuple(_whole(item, name) for item in items)

    def number(self, name: str, default: float) -> float:
        """A number, or the default where it is absent.

        Raises:
            ValueError: it is no number.
        """
        found = self._value(name, "f", default)
        if isinstance(found, bool) or not isinstance(found, int | float) or abs(found) > _LARGEST:
            raise ValueError(f"its attribute {name} is {shorten(found)}, which is no number")
        return float(found)

    def flag(self, name: str) -> bool:
        """A truth value, false where it is absent.

        Raises:
            ValueError: it is something else.
        """
        found = self._value(name, "b", False)
        if not isinstance(found, bool):
            raise ValueError(f"its attribute {name} is {shorten(found)}, not true or false")
        return found

    def text(self, name: str, default: str) -> str:
        """A text, which the file has in base 64.

        Raises:
            ValueError: it is none.
        """
        found = self._value(name, "s", None)
        return default if found is None else _text(found, name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, empty where it is absent.

        Raises:
            ValueError: it is none.
        """
        found = self._value(name, "list", {})
        items = found.get("s", []) if isinstance(found, Mapping) else None
        if not isinstance(items, list) or len(items) > 16:
            raise ValueError(f"its attribute {name} is no list of texts")
        return tuple(_text(item, name) for item in items)

    def _value(self, name: str, kind: str, default: Any) -> Any:
        entry = self._values.get(name)
        if entry is None:
            if default is None and kind == "list":
                raise ValueError(f"its attribute {name} is missing")
            return default
        if not isinstance(entry, Mapping):
            raise ValueError(f"its attribute {name} is {shorten(entry)}")
        return entry.get(kind, default)


def _whole(item: Any, name: str) -> int:
    """A whole number; the file may have it as text."""
    if isinstance(item, str) and item.isascii() and item.removeprefix("-").isdecimal() and len(item) < 12:
        item = int(item)
    if isinstance(item, bool) or not isinstance(item, int) or abs(item) > _LARGEST:
        raise ValueError(f"its attribute {name} has {shorten(item)}, which is no whole number")
    return item


def _text(item: Any, name: str) -> str:
    try:
        return base64.b64decode(item, validate=True).decode("ascii")
    except (TypeError, ValueError, binascii.Error):
        raise ValueError(f"its attribute {name} is {shorten(item)}, which is no text in base 64") from None


Inputs = Sequence[Tensor]
Operation = Callable[[Inputs, Attributes], Tensor | tuple[Tensor, ...]]
MOST_RANKS = 8


def convolution(inputs: Inputs, attributes: Attributes) -> Tensor:
    """`Conv2D`, and with `fused_ops` bias and activation behind it: filters `[h, w, in, out]`."""
    images, filters = _channels_first(inputs[0]), inputs[1].permute(3, 2, 0, 1)
    if images.shape[1] % filters.shape[1]:
        raise ValueError(f"filters of {filters.shape[1]} channels do not fit {images.shape[1]} channels")
    return _convolved(images, filters, images.shape[1] // filters.shape[1], inputs[2:], attributes)


def depthwise_convolution(inputs: Inputs, attributes: Attributes) -> Tensor:
    """`DepthwiseConv2dNative`, and with `fused_ops` what follows: filters `[h, w, in, multiplier]`."""
    height, width, channels, multiplier = inputs[1].shape
    filters = inputs[1].permute(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    return _convolved(_channels_first(inputs[0]), filters, channels, inputs[2:], attributes)


def _convolved(images: Tensor, filters: Tensor, groups: int, more: Inputs, attributes: Attributes) -> Tensor:
    """A convolution, then the operations that are fused with it, whose tensors are `more`."""
    stride, dilation = _window(attributes, "strides"), _window(attributes, "dilations", (1, 1, 1, 1))
    size = (filters.shape[2], filters.shape[3])
    images, border = _bordered(images, size, stride, dilation, attributes, 0.0)
    out = F.conv2d(images, filters, None, stride, border, dilation, groups).permute(0, 2, 3, 1)
    rest = list(more)
    for name in attributes.texts("fused_ops"):
        if name == "BiasAdd":
            out = out + rest.pop(0)
        elif name in ACTIVATIONS:
            out = ACTIVATIONS[name](out, attributes)
        else:
            raise ValueError(f"{name!r} fused with a convolution is not known here")
    return out


def max_pooling(inputs: Inputs, attributes: Attributes) -> Tensor:
    """`MaxPool`; borders of the padding `SAME` never win."""
    size, stride = _window(attributes, "ksize"), _window(attributes, "strides")
    images, border = _bordered(_channels_first(inputs[0]), size, stride, (1, 1), attributes, -torch.inf)
    return F.max_pool2d(images, size, stride, border).permute(0, 2, 3, 1)


def resize_bilinear(inputs: Inputs, attributes: Attributes) -> Tensor:
    """`ResizeBilinear` to (height, width), in each of TensorFlow's three ways of placing pixels."""
    images, (height, width) = _channels_first(inputs[0]), whole_numbers(inputs[1], 2)
    corners, centres = attributes.flag("align_corners"), attributes.flag("half_pixel_centers")
    if corners or centres:
        return F.interpolate(images, (height, width), mode="bilinear", align_corners=corners).permute(0, 2, 3, 1)
    # TensorFlow's old way: pixel i lies at i * old / new, as with aligned corners of an image that is one pixel larger.
    larger = F.pad(images, (0, 1, 0, 1), mode="replicate")
    out = F.interpolate(larger, (height + 1, width + 1), mode="bilinear", align_corners=True)[..., :-1, :-1]
    return out.permute(0, 2, 3, 1)


def pad(inputs: Inputs, attributes: Attributes) -> Tensor:
    """`Pad` and `PadV2`: pairs of counts, one a dimension, and the value, 0 where there is none."""
    counts = whole_numbers(inputs[1], 2 * inputs[0].ndim)
    pairs = [counts[2 * i : 2 * i + 2] for i in reversed(range(inputs[0].ndim))]
    value = float(inputs[2]) if len(inputs) > 2 else 0.0
    return F.pad(inputs[0], [n for pair in pairs for n in pair], value=value)


def transpose(inputs: Inputs, attributes: Attributes) -> Tensor:
    """`Transpose` by an order of dimensions."""
    return inputs[0].permute(*whole_numbers(inputs[1], inputs[0].ndim))


def reshape(inputs: Inputs, attributes: Attributes) -> Tensor:
    """`Reshape`; one number may be -1."""
    return inputs[0].reshape(whole_numbers(inputs[1]))


def concatenate(inputs: Inputs, attributes: Attributes) -> Tensor:
    """`ConcatV2`, whose last input is the axis."""
    return torch.cat(list(inputs[:-1]), whole_numbers(inputs[-1], 1)[0])


def split(inputs: Inputs, attributes: Attributes) -> tuple[Tensor, ...]:
    """`SplitV` into parts of stated sizes along an axis."""
    return torch.split(inputs[0], whole_numbers(inputs[1]), whole_numbers(inputs[2], 1)[0])


def mean(inputs: Inputs, attributes: Attributes) -> Tensor:
    """`Mean` over axes."""
    return inputs[0].mean(whole_numbers(inputs[1]), keepdim=attributes.flag("keep_dims"))


def sparse_to_dense(inputs: Inputs, attributes: Attributes) -> Tensor:
    """`SparseToDense` of whole numbers: values at indices, another one elsewhere."""
    indices, shape, values, other = inputs
    (size,) = whole_numbers(shape, 1)
    if not 0 <= size <= MOST_RANKS:
        raise ValueError(f"a sparse tensor of {size} numbers; at most {MOST_RANKS} are read")
    out = other.expand(size).clone()
    out[indices.flatten().long()] = values.to(out.dtype)
    return out


def whole_numbers(tensor: Tensor, count: int | None = None) -> list[int]:
    """The numbers of a constant that states sizes, axes or an order.

    Raises:
        ValueError: it is computed from the image, has no whole numbers, or another count of them.
    """
    if tensor.is_floating_point() or tensor.is_meta or tensor.numel() > 4 * MOST_RANKS:
        raise ValueError("its sizes or axes are no constant of a few whole numbers")
    found = [int(i) for i in tensor.flatten().tolist()]
    if count is not None and len(found) != count:
        raise ValueError(f"{len(found)} whole numbers where {count} are needed")
    return found


def _channels_first(images: Tensor) -> Tensor:
    """Images `[N, H, W, C]` as `[N, C, H, W]`."""
    if images.ndim != 4:
        raise ValueError(f"images [N, H, W, C] are needed, not {list(images.shape)}")
    return images.permute(0, 3, 1, 2)


def _window(attributes: Attributes, name: str, default: tuple[int, ...] | None = None) -> tuple[int, int]:
    """Height and width of an attribute for `[N, H, W, C]`."""
    if (layout := attributes.text("data_format", "NHWC")) != "NHWC":
        raise ValueError(f"its layout is {layout!r}; NHWC is read")
    numbers = attributes.whole_numbers(name, default)
    if len(numbers) != 4 or numbers[0] != 1 or numbers[3] != 1 or min(numbers) < 1:
        raise ValueError(f"its {name} are {list(numbers)}; [1, height, width, 1] is read")
    return numbers[1], numbers[2]


def _bordered(
    images: Tensor,
    size: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    attributes: Attributes,
    value: float,
) -> tuple[Tensor, tuple[int, int]]:
    """Images, and the rows and columns to add at both ends, for the padding `SAME`; an odd pixel more comes last."""
    padding = attributes.text("padding", "")
    if padding == "VALID":
        return images, (0, 0)
    if padding != "SAME":
        raise ValueError(f"its padding is {padding!r}; SAME and VALID are read")
    more = []
    for old, window, step, gap in zip(images.shape[2:], size, stride, dilation, strict=True):
        more.append(max((-(-old // step) - 1) * step + (window - 1) * gap + 1 - old, 0))
    rows, columns = more
    if rows % 2 == columns % 2 == 0:
        return images, (rows // 2, columns // 2)
    border = [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]
    return F.pad(images, border, value=value), (0, 0)


def _of_one(function: Callable[[Tensor, Attributes], Tensor]) -> Operation:
    return lambda inputs, attributes: function(inputs[0], attributes)


ACTIVATIONS: Mapping[str, Callable[[Tensor, Attributes], Tensor]] = {
    "Relu": lambda x, _: x.relu(),
    "Relu6": lambda x, _: x.clamp(0, 6),
    "LeakyRelu": lambda x, attributes: F.leaky_relu(
        x, attributes.number("leakyrelu_alpha", attributes.number("alpha", 0.2))
    ),
    "Sigmoid": lambda x, _: x.sigmoid(),
}
"""Functions of one tensor, also fused with convolutions."""
OPERATIONS: Mapping[str, Operation] = {
    **{name: _of_one(function) for name, function in ACTIVATIONS.items()},
    "Identity": lambda inputs, _: inputs[0],
    **dict.fromkeys(("Add", "AddV2", "BiasAdd"), lambda inputs, _: inputs[0] + inputs[1]),
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    **dict.fromkeys(("Conv2D", "_FusedConv2D"), convolution),
    **dict.fromkeys(("DepthwiseConv2dNative", "FusedDepthwiseConv2dNative"), depthwise_convolution),
    "MaxPool": max_pooling,
    "ResizeBilinear": resize_bilinear,
    **dict.fromkeys(("Pad", "PadV2"), pad),
    "Transpose": transpose,
    "Reshape": reshape,
    "ConcatV2": concatenate,
    "SplitV": split,
    "Mean": mean,
    "SparseToDense": sparse_to_dense,
}
"""Every operation that is known, by TensorFlow's name."""
