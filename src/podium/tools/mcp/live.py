"""One client of the SDK, and the task that entered it and will leave it: from connecting to the end of its process.

It makes the transport, says when the server stopped talking (`broken`), and hears of changed tools. It does not make
itself anew; `Connection` does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, cast

from podium.core.errors import ConfigurationError

from .options import Http, Options, Stdio, Target, secrets_of
from .process import GRACE, Process, running
from .wording import line

if TYPE_CHECKING:
    from mcp import Client

    from .wire import WireClient


class Unreachable(Exception):
    """There is no connection, and none could be made. Nothing was sent."""


class Live:
    """One client, and the task that entered it and will leave it."""

    def __init__(self, target: Target, options: Options, on_changed: Callable[[], None]) -> None:
        self._target = target
        self._options = options
        self._on_changed = on_changed
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.client: Client | None = None
        self.process = Process(secrets_of(target)) if isinstance(target, Stdio) else None
        self.wire: WireClient | None = None
        self.broken = False
        self._users = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextlib.asynccontextmanager
    async def used(self) -> AsyncGenerator[None]:
        """While a request is in flight."""
        self._users += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._idle.set()

    async def retire(self) -> None:
        """End, when the requests in flight are answered."""
        await self._idle.wait()
        await self.end()

    @property
    def ready(self) -> Client:
        """The client. Raises Unreachable before there is one."""
        if self.client is None:
            raise Unreachable("it is not connected")
        return self.client

    async def begin(self) -> Client:
        """Connect and agree on a protocol. Raises Unreachable, ConfigurationError."""
        loop = asyncio.get_running_loop()
        started: asyncio.Future[Client] = loop.create_future()
        self._task = loop.create_task(self._run(started), name=f"mcp:{self._options.name}")
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                self.client = client = await asyncio.shield(started)
        except TimeoutError:
            raise Unreachable(self.why(f"no answer in {self._options.connect_timeout:g} s")) from None
        return client

    async def end(self) -> None:
        """Leave the client, and wait until its process is gone."""
        self.broken = True
        self._stop.set()
        task = self._task
        if task is None:
            return
        if self.client is None:
            task.cancel()  # it is still connecting
        done, _ = await asyncio.wait({task}, timeout=4 * GRACE)
        if not done:
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE)

    async def _run(self, started: asyncio.Future[Client]) -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                client = await stack.enter_async_context(self._make())
                listening = asyncio.ensure_future(self._listen(client))
                stack.push_async_callback(_ended, listening)
                if not started.done():
                    started.set_result(client)
                await self._stop.wait()
        except asyncio.CancelledError:
            if not started.done():
                started.set_exception(Unreachable(self.why("the server ended the connection")))
                started.exception()
            if cancelling():
                raise
        except ConfigurationError as error:
            _fail(started, error)
        except Exception as error:  # noqa: BLE001  (an SDK or a server that fails in any way must not end the program)
            _fail(started, Unreachable(self.why(_said(error))))
        finally:
            self.broken = True

    def _make(self) -> Client:
        import importlib.metadata

        from mcp import Client
        from mcp_types import Implementation

        from .callbacks import callbacks

        transport = self._over_http() if isinstance(self._target, Http) else self._over_stdio()
        return Client(
            self._watched(transport),
            client_info=Implementation(name="podium", version=importlib.metadata.version("podium")),
            mode=self._options.protocol,
            cache=None,  # a list that is asked for again is asked of the server
            message_handler=self._heard,
            **callbacks(self._options),
        )

    def _over_stdio(self) -> Any:
        assert isinstance(self._target, Stdio)  # noqa: S101
        assert self.process is not None  # noqa: S101
        return running(self._target, self.process, self._options.message_limit, self._lost)

    @contextlib.asynccontextmanager
    async def _watched(self, transport: Any) -> AsyncGenerator[Any]:
        async with transport as (reading, writing):
            yield _Watched(reading, self._lost), writing

    @contextlib.asynccontextmanager
    async def _over_http(self) -> AsyncGenerator[Any]:
        import httpx2
        from mcp.client.sse import sse_client
        from mcp.client.streamable_http import streamable_http_client

        from .wire import Bearer, WireClient

        target, limit = self._target, self._options.message_limit
        assert isinstance(target, Http)  # noqa: S101
        auth = target.auth
        if auth is not None and not isinstance(auth, httpx2.Auth):
            auth = Bearer(auth)

        def client(headers: Any = None, timeout: Any = None, auth: Any = auth) -> WireClient:
            self.wire = WireClient(
                limit=limit, headers={**target.headers, **(headers or {})}, timeout=timeout, auth=auth
            )
            return self.wire

        if target.transport == "sse":
            async with sse_client(
                target.url, httpx_client_factory=client, auth=auth, sse_read_timeout=3600.0
            ) as streams:
                yield streams
            return
        async with (
            client(timeout=httpx2.Timeout(30.0, read=None)) as http,
            streamable_http_client(target.url, http_client=http, max_sse_event_size=limit) as streams,
        ):
            yield streams

    async def _heard(self, message: Any) -> None:
        from mcp_types import ToolListChangedNotification

        if isinstance(message, ToolListChangedNotification):
            self._on_changed()

    async def _listen(self, client: Client) -> None:
        """Hear of changed tools from servers of 2026, which say so only to those who ask."""
        from mcp import MCPError
        from mcp.client.subscriptions import SubscriptionLost
        from mcp_types.version import MODERN_PROTOCOL_VERSIONS

        tools = client.server_capabilities.tools
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS or tools is None or not tools.list_changed:
            return
        pause = 0.5
        while not self._stop.is_set():
            with contextlib.suppress(SubscriptionLost, TimeoutError, MCPError):
                async with client.listen(tools_list_changed=True) as events:
                    async for _ in events:
                        pause = 0.5
                        self._on_changed()
            if self.broken:
                return
            await asyncio.sleep(pause)
            pause = min(60.0, pause * 2)
            self._on_changed()  # what was said meanwhile was missed

    def _lost(self) -> None:
        self.broken = True

    def why(self, reason: str) -> str:
        """One line that says that the server cannot be reached, and what is known of it."""
        last = "" if self.process is None else self.process.last_words
        where = f"MCP server {self._options.name!r} ({self._target})"
        return f"{where} cannot be reached: {reason}{f'; {last}' if last and last not in reason else ''}"


class _Watched:
    """A stream of messages that says when it ends: the SDK keeps that to itself."""

    def __init__(self, stream: Any, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._over = ended

    @property
    def last_context(self) -> Any:
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        try:
            return await self._stream.receive()
        except Exception:  # the end, in any of its forms
            self._over()
            raise

    async def aclose(self) -> None:
        self._over()
        await self._stream.aclose()

    def close(self) -> None:
        self._over()
        self._stream.close()

    def __aiter__(self) -> _Watched:
        return self

    async def __anext__(self) -> Any:
        import anyio

        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> _Watched:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def _ended(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _fail(started: asyncio.Future[Any], error: Exception) -> None:
    if not started.done():
        started.set_exception(error)
        started.exception()  # it is raised where it is awaited; nobody need be told that nobody looked


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return line(str(error) or type(error).__name__, 500)


def cancelling() -> bool:
    """Whether it is the present task that somebody cancelled, rather than what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
