"""The one HTTP transport of all model codecs: pooled, bounded, one request is one attempt.

It stands on httpx2, which is imported with the first request. It knows addresses, time limits, body sizes and how a
connection fails; it does not know what a body means, and it never repeats a request: the runtime does, reading
`.transient` and `data["retry_after"]` of the error. Proxies come from the environment (HTTPS_PROXY, NO_PROXY, ...);
loopback never goes through one. Certificates are checked against the operating system's trust store.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from podium.core.errors import (
    BadRequest,
    ConfigurationError,
    MalformedReply,
    ModelError,
    ModelTimeout,
    Overloaded,
    PermissionDenied,
)

from .one_line import one_line

if TYPE_CHECKING:
    import httpx2

MAX_BODY = 32 * 1024 * 1024
"""Bytes of an answer that are read, after decompression."""
MAX_ERROR_BODY = 64 * 1024
"""Bytes of an error's body that are read."""
MAX_WAIT = 24 * 3600.0
"""Seconds; a longer `Retry-After` is cut to this."""


# ---------------------------------------------------------------------------------------------- forbidding real calls


class _Switch:
    """Whether requests may leave this machine. One per process, because a run may be driven by any loop or thread."""

    __slots__ = ("hosts", "reason")

    def __init__(self) -> None:
        self.reason: str | None = None
        self.hosts: frozenset[str] = frozenset()


_SWITCH = _Switch()


class Guard:
    """The effect of `forbid_real_calls` or `allow_real_calls`; as a context manager it is undone at the end."""

    __slots__ = ("_before",)

    def __init__(self, reason: str | None, hosts: Collection[str]) -> None:
        self._before = (_SWITCH.reason, _SWITCH.hosts)
        _SWITCH.reason, _SWITCH.hosts = reason, frozenset(hosts)

    def undo(self) -> None:
        """Put back what was in force before."""
        _SWITCH.reason, _SWITCH.hosts = self._before

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


def forbid_real_calls(reason: str = "tests must not call real models", *, hosts: Collection[str] = ()) -> Guard:
    """From now on refuse every host except loopback and `hosts`, with an error that gives the reason.

    In force for the whole process until `allow_real_calls()`, `.undo()`, or the end of a `with` block.
    """
    return Guard(reason, hosts)


def allow_real_calls() -> Guard:
    """Let requests out again: for good, or for the length of a `with` block."""
    return Guard(None, ())


def real_calls_allowed() -> bool:
    """Whether requests may leave this machine."""
    return _SWITCH.reason is None


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    host = host.strip("[]").lower().rstrip(".")
    return host == "::1" or host == "localhost" or host.endswith(".localhost") or _is_127(host)


def _is_127(host: str) -> bool:
    numbers = host.split(".")
    return len(numbers) == 4 and numbers[0] == "127" and all(part.isdigit() for part in numbers)


def _check_allowed(url: str) -> None:
    if _SWITCH.reason is None:
        return
    host = urlsplit(url).hostname or ""
    if is_loopback(host) or host in _SWITCH.hosts:
        return
    raise PermissionDenied(
        f"no real model calls: {_SWITCH.reason}. The call to {host} was not made. Use ScriptedModel or OfflineModel, "
        f"or allow it: `with podium.models.transport.allow_real_calls():`",
        rule="no-real-calls",
    )


# ---------------------------------------------------------------------------------------------------------- answers


def shown(url: str) -> str:
    """An address fit for messages: no user, password, query or fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    with suppress(ValueError):
        host += f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{parts.path}"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait as a server asks for (`Retry-After` in seconds or as a date, or `retry-after-ms`), or None.

    A date is compared with the server's own `Date` when it sent one, so that a wrong clock here does no harm; `now`
    is epoch seconds. Never negative, at most `MAX_WAIT`.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if not value:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            until = _epoch(value)
            if until is None:
                continue
            seconds = until - (_epoch(headers.get("date", "")) or now)
        if math.isfinite(seconds):
            return min(max(seconds, 0.0), MAX_WAIT)
    return None


def _epoch(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


class Answer:
    """An HTTP answer whose body is still coming."""

    __slots__ = ("_limit", "_response", "content_type", "retry_after", "status", "where")

    def __init__(self, response: httpx2.Response, limit: int, where: str) -> None:
        self._response = response
        self._limit = limit
        self.where = where
        self.status = response.status_code
        self.content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.retry_after = retry_after(response.headers, time.time())
        """Seconds the server asks to wait before another attempt, or None."""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    async def read(self, take: Callable[[bytes], object]) -> None:
        """Hand on the body in pieces as they arrive. Raises MalformedReply when it is larger than the limit."""
        size = 0
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > self._limit:
                    raise MalformedReply(
                        f"the answer of {self.where} is larger than {self._limit // 1024} KiB and was not read to its "
                        "end: ask for less, or raise max_body"
                    )
                take(piece)

    async def body(self) -> bytes:
        """The whole body; of an error (not `ok`) no more than `MAX_ERROR_BODY`."""
        if self.ok:
            found: list[bytes] = []
            await self.read(found.append)
            return b"".join(found)
        begun = b""
        with suppress(Exception):  # the status alone already tells what happened
            async for piece in self._pieces():
                begun += piece
                if len(begun) >= MAX_ERROR_BODY:
                    break
        return begun[:MAX_ERROR_BODY]

    def _pieces(self) -> AsyncGenerator[bytes]:
        response = self._response
        encoded = response.headers.get("content-encoding", "identity").strip().lower() != "identity"
        if encoded or response.is_stream_consumed:  # a mock's answer has been read already
            return response.aiter_bytes()
        return response.aiter_raw()  # one layer less for each piece


# -------------------------------------------------------------------------------------------------------- transport


class HttpTransport:
    """Connections to model servers, shared by the models that are given it.

    `mock` replaces the network (an `httpx2.MockTransport` in tests; the guard on real calls then does not apply).
    `connect_timeout` is in seconds. Each event loop gets its own pool, which is closed by `aclose()`, or else when its
    loop shuts down.
    """

    def __init__(
        self,
        *,
        max_body: int = MAX_BODY,
        max_connections: int = 1000,
        connect_timeout: float = 15.0,
        mock: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._max_body = max_body
        self._max_connections = max_connections
        self._connect_timeout = connect_timeout
        self._mock = mock
        self._pools: dict[asyncio.AbstractEventLoop, tuple[httpx2.AsyncClient, AsyncGenerator[None]]] = {}

    def post(
        self,
        url: str,
        body: bytes,
        *,
        headers: Mapping[str, str],
        timeout: float | None,
        secrets: Collection[str] = (),
    ) -> AbstractAsyncContextManager[Answer]:
        """POST `body` once and give the answer, whatever its status. The connection is let go when the block ends.

        `timeout` is in seconds, for everything up to the end of the block. `secrets` never appear in errors. Raises
        ModelTimeout, Overloaded (the network failed), BadRequest (an address that cannot be used), MalformedReply and,
        while real calls are forbidden, PermissionDenied.
        """
        return self._send("POST", url, body, headers=headers, timeout=timeout, secrets=secrets)

    def get(
        self, url: str, *, headers: Mapping[str, str], timeout: float | None, secrets: Collection[str] = ()
    ) -> AbstractAsyncContextManager[Answer]:
        """GET an address; otherwise like `post`."""
        return self._send("GET", url, b"", headers=headers, timeout=timeout, secrets=secrets)

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        url: str,
        body: bytes,
        *,
        headers: Mapping[str, str],
        timeout: float | None,
        secrets: Collection[str],
    ) -> AsyncGenerator[Answer]:
        import httpx2

        if self._mock is None:
            _check_allowed(url)
        where = shown(url)
        client = await self._client()
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                try:
                    async with client.stream(method, url, content=body or None, headers=dict(headers)) as response:
                        yield Answer(response, self._max_body, where)
                except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
                    # `from None`: the original holds the request, and with it the key.
                    raise _network_error(error, where, secrets) from None
        except TimeoutError:
            if timeout is None or not limit.expired():
                raise
            raise ModelTimeout(
                f"{where} did not answer within {timeout:g} seconds: raise the timeout, or ask for a shorter answer"
            ) from None

    async def aclose(self) -> None:
        """Close the connections of the running loop. The transport can be used again."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool[1].aclose()

    async def _client(self) -> httpx2.AsyncClient:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is not None:
            return pool[0]
        for other in [other for other in self._pools if other.is_closed()]:
            del self._pools[other]
        client = self._connect()
        # A loop finishes its async generators when it shuts down (asyncio.run, Runner) and when they are collected:
        # so a transport that nobody closes still leaves no open socket, and no ResourceWarning, behind.
        keeper = _keep(client)
        self._pools[loop] = client, keeper
        await anext(keeper)
        return client

    def _connect(self) -> httpx2.AsyncClient:
        import httpx2

        try:
            return httpx2.AsyncClient(
                transport=self._mock,
                timeout=httpx2.Timeout(None, connect=self._connect_timeout),
                limits=httpx2.Limits(
                    max_connections=self._max_connections,
                    max_keepalive_connections=100,
                    keepalive_expiry=30.0,
                ),
                mounts=None if self._mock else dict.fromkeys(("all://localhost", "all://127.0.0.1", "all://[::1]")),
                follow_redirects=False,
            )
        except (ValueError, ImportError, OSError) as error:
            raise ConfigurationError(
                f"no HTTP connection can be set up ({one_line(str(error))}): "
                "check HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE in the environment"
            ) from None


async def _keep(client: httpx2.AsyncClient) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await client.aclose()


def _network_error(error: Exception, where: str, secrets: Collection[str]) -> ModelError:
    import httpx2

    said = one_line(str(error), secrets) or type(error).__name__
    if isinstance(error, httpx2.TimeoutException):
        # Before the connection stood nothing was sent, so nothing can have been billed.
        unsent = {"sent": False} if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout) else {}
        return ModelTimeout(
            f"{where} could not be reached in time ({said}): check the network, then try again", **unsent
        )
    if isinstance(error, httpx2.ConnectError):
        if "CERTIFICATE" in said.upper():
            return BadRequest(
                f"the certificate of {where} is not trusted ({said}): install its authority in the system's trust "
                "store (package ca-certificates) or set SSL_CERT_FILE"
            )
        return Overloaded(
            f"cannot connect to {where} ({said}): check that the server runs and base_url is right", sent=False
        )
    if isinstance(error, httpx2.LocalProtocolError | httpx2.UnsupportedProtocol | httpx2.InvalidURL):
        return BadRequest(f"the request to {where} cannot be sent ({said}): check base_url and headers")
    if isinstance(error, httpx2.ProxyError):
        return Overloaded(f"the proxy refused the connection to {where} ({said}): check HTTPS_PROXY", sent=False)
    return Overloaded(f"the connection to {where} broke off ({said}): try again")
