"""Limits of connections: how many there are, in all and of an address, and how long the headers of a request may take.

uvicorn has neither: a client that sends half of a request holds its connection, and a file descriptor, for ever.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from unshaken.serve.request_log import log_refusal

BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def most_connections() -> int:
    """Half of the file descriptors that this process may open, so that files can be opened whatever comes in."""
    if sys.platform == "win32":
        return 512
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 20 if soft < 0 else max(8, soft // 2)


def limit_connections(*, header_seconds: float, most_an_address: int, most: int) -> type[asyncio.Protocol]:
    """Make a protocol for `uvicorn.Config(http=...)` that closes connections beyond these limits, and logs each.

    Args:
        header_seconds: time that the headers of a request may take, from the connection or from the first byte after
            another request.
        most_an_address: connections that one address may hold at a time; a further one is closed at once.
        most: connections of all addresses at a time; a further one is answered with status 503.
    """
    held: Counter[str] = Counter()

    class Limited(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None
        _address: str | None = None

        @override
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._address = self.client[0] if self.client else ""
            held[self._address] += 1
            if held[self._address] > most_an_address:
                self._refuse(f"Address holds {most_an_address} connections already.")
                transport.abort()
            elif held.total() > most:
                self._refuse(f"{most} connections are held already.")
                transport.write(BUSY)
                transport.close()
            else:
                self._watch()

        @override
        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            if self._address is not None:
                held[self._address] -= 1
                if not held[self._address]:
                    del held[self._address]
            super().connection_lost(exc)

        @override
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._watch()
            else:
                self._unwatch()

        def _refuse(self, why: str) -> None:
            log_refusal({"client": (self._address, 0), "method": "", "path": ""}, 503, why)

        def _watch(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(header_seconds, self._close)

        def _unwatch(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _close(self) -> None:
            self._deadline = None
            self.transport.abort()

    return Limited
