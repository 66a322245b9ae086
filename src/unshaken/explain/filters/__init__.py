"""What the weights of convolutions look like: their kernels layer by layer, and their distributions between models."""
