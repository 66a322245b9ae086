"""A light HTTP client and the loads that it makes: closed, at a rate, and of malformed requests."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Load:
    """What came back.

    Args:
        statuses: answers by status; 0 for a connection that broke.
        seconds: of answers with status 200, from the moment at which the request was due.
        took: seconds of the whole load.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    took: float = 0.0

    @property
    def per_second(self) -> float:
        """Answers with status 200 a second."""
        return self.statuses[200] / self.took

    def quantile(self, share: float) -> float:
        """Milliseconds that a share of the answers took at most; NaN without any."""
        ranked = sorted(self.seconds)
        return 1000 * ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")


class Connection:
    """One connection that is kept open, and opened anew where it broke."""

    def __init__(self, port: int) -> None:
        self.port, self.streams = port, None

    async def send(self, raw: bytes) -> int:
        """The status of the answer to a whole request; 0 where the connection broke."""
        try:
            if self.streams is None:
                self.streams = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self.streams
            writer.write(raw)
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode("latin-1").lower()
            length = next((int(h[15:]) for h in head.split("\r\n") if h.startswith("content-length:")), None)
            if length is None or "connection: close" in head:
                self.close()
            else:
                await reader.readexactly(length)
            return int(head.split()[1])
        except (TimeoutError, OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            self.close()
            return 0

    def close(self) -> None:
        """Close it."""
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None


async def closed(port: int, requests: list[bytes], *, clients: int, seconds: float) -> Load:
    """As many clients, each of which sends its next request as soon as it has an answer."""
    load, began = Load(), time.perf_counter()

    async def client(number: int) -> None:
        connection, turn = Connection(port), number
        while (now := time.perf_counter()) < began + seconds:
            status = await connection.send(requests[turn % len(requests)])
            load.statuses[status] += 1
            if status == 200:
                load.seconds.append(time.perf_counter() - now)
            turn += clients
        connection.close()

    await asyncio.gather(*(client(i) for i in range(clients)))
    load.took = time.perf_counter() - began
    return load


async def at_rate(port: int, requests: list[bytes], *, rate: float, seconds: float, seed: int = 0) -> Load:
    """Requests at random moments (Poisson), whether or not earlier ones are answered."""
    load, draw, idle = Load(), random.Random(seed), list[Connection]()
    waiting: set[asyncio.Task[None]] = set()
    began = due = time.perf_counter()

    async def one(raw: bytes, due: float) -> None:
        connection = idle.pop() if idle else Connection(port)
        status = await connection.send(raw)
        load.statuses[status] += 1
        if status == 200:
            load.seconds.append(time.perf_counter() - due)
        idle.append(connection)

    turn = 0
    while due < began + seconds:
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        task = asyncio.ensure_future(one(requests[turn % len(requests)], due))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
        due += draw.expovariate(rate)
        turn += 1
    while waiting:
        await asyncio.wait(set(waiting))
    load.took = time.perf_counter() - began
    for connection in idle:
        connection.close()
    return load


def request(body: bytes, content_type: str, path: str, headers: str = "") -> bytes:
    """A whole request."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode("latin-1") + body


def malformed(n: int, good: bytes, content_type: str, path: str, seed: int = 0) -> list[bytes]:
    """Requests that are wrong in one way or another: cut, flipped bytes, another type, another form, hostile text."""
    draw, found = random.Random(seed), []
    types = ("image/png", "image/jpeg", "application/json", "application/vnd.safetensors", "text/html", "",
             "multipart/form-data", "multipart/form-data; boundary=x")  # fmt: skip
    texts = (b"", b"{", b"[" * 5000, b'{"images": "x"}', b'{"images": [{"data": "*"}]}', b"\xff" * 64, b"%PDF-1.4",
             b"--x\r\n\r\n--x--", b"<script>", b"9" * 5000, b"\x00" * 300, b"null")  # fmt: skip
    for _ in range(n):
        way = draw.randrange(4)
        if way == 0:
            body, kind = good[: draw.randrange(len(good) // 2)], content_type
        elif way == 1:
            head = bytes(draw.randrange(256) for _ in range(12))
            body, kind = head + good[12:], content_type
        elif way == 2:
            body, kind = draw.choice(texts), draw.choice(types)
        else:
            body, kind = good[:200], draw.choice([t for t in types if t != content_type])
        found.append(request(body, kind, path))
    return found


async def one_by_one(port: int, requests: list[bytes]) -> Counter[int]:
    """Statuses of the answers; 0 for a connection that broke."""
    connection, statuses = Connection(port), Counter[int]()
    for raw in requests:
        statuses[await connection.send(raw)] += 1
    connection.close()
    return statuses
