"""A server program: started with a clean environment in a process group of its own, heard and ended within bounds.

It gives the SDK the pair of message streams its sessions run on. The SDK has such a transport too; this one bounds
what a line may hold, keeps the end of standard error for messages, and leaves no process of the group behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, cast

from podium.core.errors import ConfigurationError
from podium.core.redaction import without

from .options import Stdio
from .wording import line

INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
"""What a server sees of our environment; everything else must be given with `env=`."""
TAIL: Final = 8192
"""Bytes of standard error that are kept."""
GRACE: Final = 2.0
"""Seconds for ending by itself when its input is closed, and again after SIGTERM."""
MOST_GARBAGE: Final = 1000
"""Lines that are not messages before the server is given up; some print a banner."""


class Process:
    """What is known of a running server program: its last words, and how it ended."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = secrets
        """What it was given and may write, which nobody is to read."""
        self._tail = bytearray()
        self.pid: int | None = None
        self.returncode: int | None = None
        self.fault: str | None = None

    def heard(self, chunk: bytes) -> None:
        """Keep the end of standard error."""
        self._tail += chunk
        del self._tail[:-TAIL]

    @property
    def stderr(self) -> str:
        """The end of what it wrote to standard error."""
        return without(self._secrets, self._tail.decode("utf-8", "replace"))

    @property
    def last_words(self) -> str:
        """One line for an error message: why it ended, as far as anybody knows."""
        said = [text for text in self.stderr.splitlines() if text.strip()]
        parts = [self.fault or "", "" if self.returncode is None else f"it ended with exit code {self.returncode}"]
        if said:
            parts.append(f"its last words: {line(said[-1])}")
        return "; ".join(part for part in parts if part)


def environment(given: dict[str, str]) -> dict[str, str]:
    """The allow-list of our environment, and what was given."""
    kept = {key: os.environ[key] for key in INHERITED if key in os.environ}
    # A value of this form is a shell function that some shells would define, and run.
    return {key: value for key, value in kept.items() if not value.startswith("()")} | given


@contextlib.asynccontextmanager
async def running(server: Stdio, process: Process, limit: int, lost: Callable[[], None]) -> AsyncGenerator[Any, None]:
    """Start the program; gives (read stream, write stream). `lost` is called when it stops talking.

    Raises ConfigurationError when it cannot be started.
    """
    import anyio

    child = await _started(server, limit)
    process.pid = child.pid
    read_writer, read_stream = anyio.create_memory_object_stream[Any](0)
    write_stream, write_reader = anyio.create_memory_object_stream[Any](0)
    tasks = [
        asyncio.create_task(_read(child, process, read_writer, lost)),
        asyncio.create_task(_write(child, write_reader, lost)),
        asyncio.create_task(_listen(child, process)),
    ]
    try:
        yield read_stream, write_stream
    finally:
        try:
            write_stream.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE / 4):  # for what was accepted to be written
                    await asyncio.wait({tasks[1]})
            read_stream.close()
            await _ended(child)
            process.returncode = child.returncode
        finally:
            _signal(child, signal.SIGKILL)  # whatever it left behind in its group
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for stream in (read_stream, write_stream, read_writer, write_reader):
                stream.close()
            _let_go(child)


async def _started(server: Stdio, limit: int) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            server.command,
            *server.args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(dict(server.env)),
            cwd=server.cwd,
            start_new_session=True,
            limit=limit,
        )
    except FileNotFoundError:
        where = f" in {server.cwd}" if server.cwd else ""
        raise ConfigurationError(
            f"cannot start the MCP server: there is no program {server.command!r}{where}: install it or give its path"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot start the MCP server {server.command!r}: {error}") from None


async def _read(child: asyncio.subprocess.Process, process: Process, out: Any, lost: Callable[[], None]) -> None:
    """Messages, a line each, until it ends, sends too long a line or only garbage."""
    import anyio
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    assert child.stdout is not None  # noqa: S101
    garbage = 0
    try:
        while data := await child.stdout.readline():
            if not data.strip():
                continue
            try:
                message = jsonrpc_message_adapter.validate_json(data, by_name=False)
            except ValueError:
                garbage += 1
                process.fault = f"it wrote something that is no message: {line(data.decode('utf-8', 'replace'), 80)!r}"
                if garbage >= MOST_GARBAGE:
                    break
                message = _unreadable(data)
            if message is not None:
                await out.send(SessionMessage(message))
    except ValueError:  # what readline makes of a line beyond the limit
        process.fault = "it sent a message beyond message_limit="
    except (anyio.ClosedResourceError, anyio.BrokenResourceError, ConnectionError):
        pass
    finally:
        lost()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE / 4):  # usually it has ended: then how it ended belongs to the message
                process.returncode = await child.wait()
        out.close()


def _unreadable(data: bytes) -> Any:
    """An error in place of an answer that cannot be read, so that nobody waits for it; None for other lines."""
    import json

    from mcp_types import PARSE_ERROR, ErrorData, JSONRPCError

    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        return None
    given = cast("dict[str, Any]", plain) if isinstance(plain, dict) else dict[str, Any]()
    id = given.get("id")
    if "method" in given or type(id) not in {int, str}:
        return None
    return JSONRPCError(jsonrpc="2.0", id=id, error=ErrorData(code=PARSE_ERROR, message="its answer cannot be read"))


async def _write(child: asyncio.subprocess.Process, messages: Any, lost: Callable[[], None]) -> None:
    import anyio

    assert child.stdin is not None  # noqa: S101
    try:
        async for item in messages:
            child.stdin.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await child.stdin.drain()
    except (anyio.ClosedResourceError, ConnectionError, RuntimeError):
        lost()
        messages.close()


async def _listen(child: asyncio.subprocess.Process, process: Process) -> None:
    assert child.stderr is not None  # noqa: S101
    while chunk := await child.stderr.read(4096):
        process.heard(chunk)


async def _ended(child: asyncio.subprocess.Process) -> None:
    """Close its input, wait, ask, and kill: what the specification of the stdio transport says."""
    if child.stdin is not None:
        child.stdin.close()
    for insist in (signal.SIGTERM, signal.SIGKILL):
        if await _gone(child):
            return
        _signal(child, insist)
    await _gone(child)


async def _gone(child: asyncio.subprocess.Process) -> bool:
    # Not child.wait(): that also waits for pipes which a grandchild may hold open.
    loop = asyncio.get_running_loop()
    until = loop.time() + GRACE
    while child.returncode is None and loop.time() < until:  # noqa: ASYNC110  (nothing else tells of the end alone)
        await asyncio.sleep(0.01)
    return child.returncode is not None


def _signal(child: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _let_go(child: asyncio.subprocess.Process) -> None:
    """Close our ends of the pipes: a process that left the group may hold the others open for ever."""
    transport: Any = getattr(child, "_transport", None)
    if transport is not None:
        with contextlib.suppress(PermissionError):  # close() kills, and a program may have changed its user
            transport.close()
