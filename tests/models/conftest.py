"""Small models of every kind, made on the spot."""

import socket

import pytest
import torch

from unshaken.models.networks.small import SmallNet


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whatever tries to connect fails, so that a load that goes online is a failed test; this machine may be asked."""
    connect = socket.socket.connect

    def refuse(*address):
        raise AssertionError(f"a connection to {address} was tried")

    def connect_here(self, address):
        return connect(self, address) if self.family == socket.AF_UNIX else refuse(address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def images():
    """Three grey images of 28 pixels."""
    return torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def photos():
    """Two colour images of 32 pixels."""
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def small():
    """A SmallNet with batch-norm statistics that are not trivial."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = SmallNet(classes=5)
        net(torch.rand(16, 1, 28, 28))
    return net.eval()
