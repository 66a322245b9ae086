"""What all certificates share: the base class, and a network as a chain of exact layers."""
