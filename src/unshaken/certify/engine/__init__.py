"""The engine of all certificates: the base class, and a network as a chain of exact layers."""
