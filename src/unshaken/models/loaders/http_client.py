"""`Client`: requests to a model behind an address, with retries, a rate and a limit of time."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.numbers import parse_number
from unshaken.core.texts import first_line

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which a request is sent again."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds before the second attempt, doubled before each further one, and at most."""
MOST_BYTES = 256 << 20
"""Of an answer."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how fast a model is asked.

    Args:
        retries: further attempts after one that failed for a reason that may pass.
        timeout: seconds that a server may take for a part of its answer.
        rate: requests a second at most; `inf` for no limit.
        batch: images in a request at most.
        budget: images asked at most, those of earlier runs whose answers are kept included; None for any number.
    """

    retries: int
    timeout: float
    rate: float
    batch: int
    budget: int | None


class Client:
    """Sends requests to one address.

    Args:
        address: `http://...` or `https://...`.
        header: name of a header, and of the environment variable that holds its value; None for none.
        pace: how often and how fast.
    """

    def __init__(self, address: str, *, header: tuple[str, str] | None, pace: Pace) -> None:
        self.address, self._header, self.pace = address, header, pace
        self.name = f"model {address!r}"
        self._next = 0.0

    def post(self, body: bytes, kind: str) -> Any:
        """The parsed JSON that a server answers.

        Args:
            body: of the request.
            kind: its content type.

        Raises:
            ModelError: the server refuses, or fails more often than it may.
        """
        query = "?top=1000" if kind == "application/vnd.safetensors" else ""
        return self._send(self.address + query, body, {"Content-Type": kind})

    def get(self, address: str) -> Any:
        """The parsed JSON at another address of the same server; see `post`."""
        return self._send(address, None, {})

    def _send(self, address: str, body: bytes | None, headers: dict[str, str]) -> Any:
        headers = {"Accept": "application/json", "User-Agent": "unshaken", **headers}
        if self._header is not None:
            headers[self._header[0]] = os.environ.get(self._header[1], "").strip()
        problem, wait = "", 0.0
        for attempt in range(self.pace.retries + 1):
            if attempt:
                time.sleep(min(LONGEST_WAIT, max(wait, FIRST_WAIT * 2 ** (attempt - 1))))
            self._keep_rate()
            request = urllib.request.Request(address, body, headers)
            try:
                with _OPENER.open(request, timeout=self.pace.timeout) as answer:
                    data = answer.read(MOST_BYTES + 1)
                    if len(data) > MOST_BYTES:
                        raise ModelError(f"{self.name}: an answer is larger than {MOST_BYTES >> 20} MiB")
                    return json.loads(data)
            except urllib.error.HTTPError as error:
                problem, wait = _refused(error)
                if error.code not in AGAIN:
                    raise ModelError(f"{self.name} {problem}") from error
            except TimeoutError:
                problem, wait = f"gave no answer within {self.pace.timeout:g} s", 0.0
            except (OSError, http.client.HTTPException) as error:
                reason = error.reason if isinstance(error, urllib.error.URLError) else error
                late = isinstance(reason, TimeoutError)
                what = (
                    f"no answer within {self.pace.timeout:g} s"
                    if late
                    else first_line(reason)
                    if isinstance(reason, Exception)
                    else reason
                )
                problem, wait = f"cannot be reached: {what}", 0.0
            except (ValueError, RecursionError):
                problem, wait = "gave an answer that is no whole JSON", 0.0
        times = self.pace.retries + 1
        raise ModelError(
            f"{self.name} {problem} ({times} attempt{'s' * (times > 1)}): check the server and resume; what it "
            "answered is kept"
        )

    def _keep_rate(self) -> None:
        """Wait for the turn of the next request."""
        with _LOCK:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + 1 / self.pace.rate
        if turn > now:
            time.sleep(turn - now)


_LOCK = threading.Lock()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves redirects alone: a header with a secret goes to the address that was named, and to no other."""

    @override
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _refused(error: urllib.error.HTTPError) -> tuple[str, float]:
    """What a status says, and the seconds after which the server wants to be asked again."""
    try:
        text = error.read(2000).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException):
        text = ""
    try:
        found = json.loads(text)
        text = str(found.get("detail") or found.get("error") or found.get("message") or text)
    except (ValueError, AttributeError):
        pass
    after = error.headers.get("Retry-After", "") if error.headers else ""
    try:
        wait = parse_number(after.strip())
    except ParameterError:  # a date, or none at all
        wait = 0.0
    detail = f": {' '.join(text.split())[:200]}" if text else ""
    return f"answers {error.code} {error.reason}{detail}", wait
