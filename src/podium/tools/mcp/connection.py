"""One connection to an MCP server: made in a task of its own, used from any, made anew when it broke.

The SDK's contexts must be entered and left by one task, so a task lives as long as the connection does, and every
request is a task of its own on the same loop; callers on other loops are bridged. A request that the server provably
did not get is sent again over a new connection, once. What else can be said about a failed request is said as the
error the runtime understands: `NotDone` when it did not happen, `ToolError` when nobody knows.

Above it is `MCPTools`, which knows tools; this knows requests.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from podium.core.errors import (
    ConfigurationError,
    NotDone,
    ToolError,
    ToolTimeoutError,
    ToolUnavailable,
    ToolValidationError,
)
from podium.core.redaction import without

from .live import Live, Unreachable, cancelling
from .options import Options, Target, secrets_of
from .process import GRACE, Process
from .wording import line

if TYPE_CHECKING:
    from mcp import Client


T = TypeVar("T")
_CLOSED: Final = -32000
_NO_METHOD: Final = -32601
_BAD_PARAMS: Final = -32602
_NEEDS_URL: Final = -32042
_NEEDS_CAPABILITY: Final = -32021
ATTEMPTS: Final = 3
"""How often a broken connection is tried again for one request, with pauses from 0.2 s that double."""
CALL: Final = 30.0
"""Seconds a call is taken to have when nobody says."""


class Connection:
    """A connection that is kept up. `on_connected` runs with each new client before any request may use it.

    `on_changed` is called, on the loop of the connection, when the server says that its tools changed, or may have.
    """

    def __init__(
        self,
        target: Target,
        options: Options,
        *,
        on_connected: Callable[[Client], Awaitable[None]],
        on_changed: Callable[[], None],
    ) -> None:
        self.target = target
        self.options = options
        self.secrets = secrets_of(target)
        """What must not come back from the server."""
        self._on_connected = on_connected
        self._on_changed = on_changed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._live: Live | None = None
        self._connecting: asyncio.Task[Live] | None = None
        self._closed = True
        self._requests: set[asyncio.Task[Any]] = set()
        self._retired: set[asyncio.Task[None]] = set()

    def hide(self, secrets: Iterable[str]) -> None:
        """Let these, too, not come back from the server."""
        known = tuple(dict.fromkeys((*self.target.secrets, *secrets)))
        if known != self.target.secrets:
            self.target = msgspec.structs.replace(self.target, secrets=known)
            self.secrets = secrets_of(self.target)

    async def open(self) -> None:
        """Connect. Raises ConfigurationError with what is known of the reason."""
        self._loop = asyncio.get_running_loop()
        self._closed = False
        try:
            await self._current()
        except Unreachable as error:
            await self.close()
            raise ConfigurationError(str(error)) from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End requests, the connection and the server's process. A second close does nothing."""
        self._closed = True
        ending = [*self._requests, *([] if self._connecting is None else [self._connecting])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        live, self._live, self._connecting = self._live, None, None
        if live is not None:
            await live.end()
        await asyncio.gather(*self._retired, return_exceptions=True)

    @property
    def client(self) -> Client | None:
        """The SDK's client of the present connection, if it is up."""
        return None if self._live is None or self._live.broken else self._live.client

    @property
    def process(self) -> Process | None:
        """The server's process, if it is one of ours."""
        return None if self._live is None else self._live.process

    async def ask(self, what: str, request: Callable[[Client], Coroutine[Any, Any, T]], timeout: float | None) -> T:
        """Make a request; `what` names it in errors. `timeout` is in seconds; None leaves it to the caller.

        Callable from any task and any loop. Cancelling it tells the server. Raises NotDone when the server certainly
        did not act, ToolValidationError when it refused the request as wrong or gave something unusable,
        ToolTimeoutError and ToolError when what it did is unknown; ConfigurationError when the server is not entered.
        """
        loop = self._loop
        if self._closed or loop is None:
            raise ConfigurationError(f"MCP server {self.options.name!r} is not connected: use it inside `async with`")
        if asyncio.get_running_loop() is not loop:
            there = asyncio.run_coroutine_threadsafe(self.ask(what, request, timeout), loop)
            return await asyncio.wrap_future(there)
        task = loop.create_task(self._ask(what, request, timeout))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._closed and task.cancelled() and not cancelling():
                raise ToolUnavailable(f"{what}: the connection was closed while the call was in flight") from None
            task.cancel()
            # The SDK tells the server before it lets go; the caller must not be kept from leaving by a stuck pipe.
            await asyncio.wait({task}, timeout=GRACE)
            raise

    async def _ask(self, what: str, request: Callable[[Client], Coroutine[Any, Any, T]], timeout: float | None) -> T:
        for again in (True, False):
            live = await self._reached(what)
            try:
                async with asyncio.timeout(timeout), live.used():
                    return await request(live.ready)
            except TimeoutError:
                raise ToolTimeoutError(f"{what} took longer than {timeout:g} s") from None
            except Exception as error:  # noqa: BLE001  (whatever the SDK raises is named below)
                expired = self._outcome(error, live) == "expired"
                if expired:
                    live.broken = True
                if not (expired and again):
                    raise self._named(what, error, live) from None
        raise AssertionError("the second round returns or raises")

    async def _reached(self, what: str) -> Live:
        """A connection that is up, made anew if need be. Raises NotDone.

        It takes at most half of what a call may take: whoever ends a call for its time does not know any more that
        nothing was sent.
        """
        seconds = min(self.options.connect_timeout, (self.options.timeout or CALL) / 2)
        why = f"no connection in {seconds:g} s"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for attempt in range(ATTEMPTS):
                    try:
                        return await self._current()
                    except Unreachable as error:
                        why = str(error)
                    if attempt < ATTEMPTS - 1:
                        await asyncio.sleep(0.2 * 2**attempt)
        raise NotDone(f"{what} was not sent: {why}")

    async def _current(self) -> Live:
        """The connection; while there is none, all wait for the same attempt, and none of them can cancel it."""
        if self._live is not None and not self._live.broken:
            return self._live
        if self._closed:
            raise Unreachable(f"MCP server {self.options.name!r} is closed")
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(_looked_at)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Live:
        old, self._live = self._live, None
        if old is not None and old.process is not None:
            await old.end()  # one process of a server at a time: it may hold a lock or a port
        elif old is not None:
            # Calls that the server accepted before it forgot the session may still be answered.
            task = asyncio.get_running_loop().create_task(old.retire())
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)
        live = Live(self.target, self.options, self._on_changed)
        try:
            client = await live.begin()
            await self._prepared(client, live)
        except BaseException:
            await live.end()
            raise
        self._live = live
        return live

    async def _prepared(self, client: Client, live: Live) -> None:
        try:
            async with asyncio.timeout(self.options.connect_timeout):
                await self._on_connected(client)
        except ConfigurationError:
            raise
        except TimeoutError:
            raise Unreachable(live.why(f"no list of tools in {self.options.connect_timeout:g} s")) from None
        except Exception as error:  # noqa: BLE001  (what the SDK makes of what a server sends)
            raise Unreachable(live.why(str(self._named("the list of tools", error, live)))) from None

    def _outcome(self, error: Exception, live: Live | None) -> str | None:
        wire = None if live is None else live.wire
        return None if wire is None else wire.outcome(getattr(error, "data", None))

    def _named(self, what: str, error: Exception, live: Live | None) -> Exception:
        """The error a tool may raise, for what the SDK did."""
        from mcp import MCPError
        from pydantic import ValidationError

        said = line(without(self.secrets, str(error)), 1000)
        if isinstance(error, ToolError | ConfigurationError):
            return error
        if isinstance(error, ValidationError):
            return ToolValidationError(f"{what}: the server's answer does not follow the protocol", where="result")
        if not isinstance(error, MCPError):
            # The SDK checks a result against the tool's schema, and says so with a plain RuntimeError.
            return ToolValidationError(f"{what}: {said or type(error).__name__}", where="result")
        outcome = self._outcome(error, live)
        if outcome in {"unsent", "refused", "expired"}:
            return NotDone(f"{what} did not happen: {said}")
        if outcome == "too_large":
            return ToolValidationError(f"{what}: {said}", where="result")
        if error.code in {_NO_METHOD, _BAD_PARAMS, _NEEDS_CAPABILITY}:
            return ToolValidationError(f"{what} was refused by the server: {said}", code=error.code)
        if error.code == _NEEDS_URL:
            return ToolValidationError(f"{what} needs a person to open an address first: {said}", code=error.code)
        if error.code == _CLOSED and live is not None and (live.broken or outcome == "lost"):
            last = live.process.last_words if live.process is not None else ""
            return ToolUnavailable(f"{what}: the connection was lost while the call was in flight ({last or said})")
        return ToolError(f"{what}: the server reports an error: {said}", code=error.code)


def _looked_at(task: asyncio.Task[Any]) -> None:
    """Take note of a failure, which those who wait are told, so that the loop does not complain when nobody waits."""
    if not task.cancelled():
        task.exception()
