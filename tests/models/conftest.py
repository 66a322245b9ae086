"""Small models of every kind, made on the spot."""

import socket

import pytest
import torch

from unshaken.models.networks.small import SmallNet


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whatever tries to connect fails, so that a load that goes online is a failed test; this machine may be asked."""
    connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

    def refuse(*address):
        raise AssertionError(f"a connection to {address} was tried")

    def connect_here(self, address):
        here = self.family == socket.AF_UNIX or address[0] == "127.0.0.1"
        return connect(self, address) if here else refuse(address)

    def look_up(host, *others, **options):
        return getaddrinfo(host, *others, **options) if host == "127.0.0.1" else refuse(host, *others)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)


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
