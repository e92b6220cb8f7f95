"""One call of a box, on the event loop it happens on: what goes in, what comes out, and when it must end.

It reads pipes that hostile code writes to, so every size is bounded; what the supervisor states comes over the box's
own socket, which that code does not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from .boxes import Box
from .inside import wire

STARTING: Final = 60.0
"""Seconds in which a box must be made: a loaded machine is slow, and that is no fault of the payload."""
_CHUNK: Final = 1 << 16
_GRACE: Final = 5.0
"""Seconds for the pipes to close after the box was ended."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a box is asked to do."""

    argv: tuple[str, ...] = ()
    stdin: bytes = b""
    files: Mapping[str, bytes] = {}
    timeout: float = 30.0
    output_limit: int = 1 << 20


class Outcome(msgspec.Struct, kw_only=True):
    """What was seen of a call."""

    stdout: bytes = b""
    stderr: bytes = b""
    value: bytes = b""
    duration: float = 0.0
    limit: str | None = None
    end: dict[str, Any] | None = None
    """What process 1 reported; None when the call was stopped from here, or the box is gone."""
    files: dict[str, bytes] = {}
    failed: dict[str, Any] | None = None
    """The step of making the box that was refused."""


class _Exchange:
    def __init__(self, box: Box, request: Request) -> None:
        self.box, self.request = box, request
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.outcome = Outcome()
        self.open: dict[int, bytearray] = {box.stdout: bytearray(), box.stderr: bytearray(), box.value: bytearray()}
        self.printed = 0
        self.heard = bytearray()
        self.listening = True
        header = {"argv": list(request.argv), "files": [(name, len(data)) for name, data in request.files.items()]}
        self.saying = memoryview(box.unsent + wire.packed(header, b"".join(request.files.values())))
        self.feeding = memoryview(request.stdin)
        self.started = 0.0
        self.timer: asyncio.TimerHandle | None = None

    async def __call__(self) -> Outcome:
        box, loop = self.box, self.loop
        parts = dict(self.open)
        try:
            for descriptor in self.open:
                loop.add_reader(descriptor, self._read, descriptor)
            loop.add_reader(box.control, self._hear)
            self._say()
            self._feed()
            self.timer = loop.call_later(STARTING, self._stop, "timeout")
            await self.done
        finally:
            self._detach()
            box.close()
        found = self.outcome
        found.stdout, found.stderr, found.value = (
            bytes(parts[descriptor]) for descriptor in (box.stdout, box.stderr, box.value)
        )
        found.duration = time.monotonic() - self.started if self.started else 0.0
        return found

    # ------------------------------------------------------------------------------------------------------- out

    def _say(self) -> None:
        """Send the spec's rest and the call."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self.saying = self.saying[self.box.control.send(self.saying) :]
            self.loop.remove_writer(self.box.control)
            if self.saying:
                self.loop.add_writer(self.box.control, self._say)
            return
        if not self.done.done() and self.saying:
            self.loop.add_writer(self.box.control, self._say)

    def _feed(self) -> None:
        """Write the input; the payload may not read it, or end first."""
        box = self.box
        try:
            while self.feeding:
                self.feeding = self.feeding[os.write(box.stdin, self.feeding[:_CHUNK]) :]
        except BlockingIOError:
            self.loop.add_writer(box.stdin, self._feed)
            return
        except BrokenPipeError:
            pass
        self._close_stdin()

    def _close_stdin(self) -> None:
        if self.box.stdin >= 0:
            self.loop.remove_writer(self.box.stdin)
            self.box.close_stdin()

    # -------------------------------------------------------------------------------------------------------- in

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        held = self.open[descriptor]
        if not data:
            self.loop.remove_reader(descriptor)
            del self.open[descriptor]
            self._perhaps_done()
            return
        held += data
        if descriptor != self.box.value:
            self.printed += len(data)
        over = (self.printed if descriptor != self.box.value else len(held)) - self.request.output_limit
        if over > 0:
            del held[len(held) - over :]  # so that output and error together are no more
            self.printed -= over if descriptor != self.box.value else 0
            self.loop.remove_reader(descriptor)
            self._stop("output")

    def _hear(self) -> None:
        try:
            data = self.box.control.recv(_CHUNK)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._deaf()
            return
        self.heard += data
        while (message := self._message()) is not None:
            self._told(*message)

    def _message(self) -> tuple[dict[str, Any], bytes] | None:
        size = wire.PREFIX.size
        if len(self.heard) < size:
            return None
        head, body = wire.sizes(bytes(self.heard[:size]))
        if len(self.heard) < size + head + body:
            return None
        header = json.loads(self.heard[size : size + head])
        blob = bytes(self.heard[size + head : size + head + body])
        del self.heard[: size + head + body]
        return header, blob

    def _told(self, header: dict[str, Any], blob: bytes) -> None:
        if "started" in header:
            self.started = time.monotonic()
            self._set_timer(self.request.timeout, "timeout")
        elif "end" in header:
            self.outcome.end = header["end"]
            self.outcome.files = wire.cut(blob, header["end"]["files"])
            self._set_timer(_GRACE, None)
            self._deaf()
        elif "failed" in header:
            self.outcome.failed = header["failed"]
            self._deaf()

    def _deaf(self) -> None:
        if self.listening:
            self.listening = False
            self.loop.remove_reader(self.box.control)
            self.loop.remove_writer(self.box.control)
            self._perhaps_done()

    # --------------------------------------------------------------------------------------------------- the end

    def _set_timer(self, seconds: float, limit: str | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        end: Callable[[], None] = self._finish if limit is None else lambda: self._stop(limit)
        self.timer = self.loop.call_later(seconds, end)

    def _stop(self, limit: str) -> None:
        """End the box, and take what is still in its pipes."""
        if self.done.done() or self.outcome.limit is not None:
            return
        self.outcome.limit = limit
        self._deaf()
        self._close_stdin()
        self.box.control.close()
        self._set_timer(_GRACE, None)
        self._perhaps_done()

    def _perhaps_done(self) -> None:
        if not self.listening and (not self.open or self.outcome.limit == "output"):
            self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _detach(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        for descriptor in self.open:
            self.loop.remove_reader(descriptor)
        if self.listening:
            self.loop.remove_reader(self.box.control)
            self.loop.remove_writer(self.box.control)
        if self.box.stdin >= 0:
            self.loop.remove_writer(self.box.stdin)


async def exchange(box: Box, request: Request) -> Outcome:
    """Do one call in `box`, which is closed afterwards, however this ends: a box is used once."""
    return await _Exchange(box, request)()
