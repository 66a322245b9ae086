"""The corruptions of ImageNet-C-bar and CIFAR-10-C-bar, chosen because they look unlike the common ones."""
