"""Published files of corrupted images, ImageNet-C and CIFAR-C: read beside the clean samples, and written.

`cifar-c:DIR` holds an array `<corruption>.npy` for each corruption, five blocks by severity, and `labels.npy`;
`imagenet-c:DIR` holds `<corruption>/<severity>/<class>/*.JPEG`. Both are opened as the clean samples (`?clean=SPEC`)
that bring their corrupted forms along, so that an audit reads these in the place of making them.
"""
