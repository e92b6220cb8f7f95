"""The network of a sandbox that may reach some hosts: a proxy outside the box and a relay inside it.

A box has a network namespace of its own with nothing but a loopback interface. When a tool may reach hosts, the
supervisor starts a `Proxy`: an HTTP proxy (CONNECT tunnels, plain `http://` requests, SOCKS5) on a unix socket that is
mounted into the box. Inside, `RELAY` listens on a port of the box's loopback and forwards to that socket, so that every
program that knows `HTTPS_PROXY` works. There is no other way out, and no name server inside.

The proxy resolves names itself and connects to the very address it checked: an answer that changes between check and
use (DNS rebinding) changes nothing, and names that are not listed are never asked for. What may be reached is decided
in `destinations`; requests are read in `proxy_wire`. This module knows sockets and time, and nothing of namespaces.

Not seen by it: what travels in a TLS tunnel. A listed host that forwards for others (a content network, a paste site)
is a way out to them; list hosts accordingly.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from podium.core.errors import ConfigurationError
from podium.tools.sandbox.destinations import Address, Allowance, parse_address, spelled
from podium.tools.sandbox.proxy_wire import MAX_HEAD, Head, Malformed, read_chunk, read_head, read_socks

RELAY = r"""
import selectors, socket, sys

# RELAY PORT SOCKET: forward 127.0.0.1:PORT to the unix socket SOCKET. One thread; at most 64 KiB held a direction.
# Writes "ready\n" to standard output when it listens. Dies with the box.
def main(port, path):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    listener.setblocking(False)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    events = selectors.DefaultSelector()
    events.register(listener, selectors.EVENT_READ)
    peer, held, ended = {}, {}, {}

    def accepting(room):
        if room and listener not in events.get_map():
            events.register(listener, selectors.EVENT_READ)
        elif not room and listener in events.get_map():
            events.unregister(listener)

    def interest(sock):
        other = peer[sock]
        wanted = 0
        if not ended[sock] and not held[other]:
            wanted |= selectors.EVENT_READ
        if held[sock]:
            wanted |= selectors.EVENT_WRITE
        known = sock in events.get_map()
        if wanted and known:
            events.modify(sock, wanted)
        elif wanted:
            events.register(sock, wanted)
        elif known:
            events.unregister(sock)

    def drop(sock):
        for each in (sock, peer[sock]):
            if each in events.get_map():
                events.unregister(each)
            each.close()
        other = peer.pop(sock)
        for table in (peer, held, ended):
            table.pop(sock, None)
            table.pop(other, None)
        accepting(True)

    def accept():
        client, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.connect(path)
        except OSError:
            server.close()
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            one.setblocking(False)
            peer[one], held[one], ended[one] = other, b"", False
        interest(client)
        interest(server)
        accepting(len(peer) < 120)

    def serve(sock, mask):
        other = peer[sock]
        if mask & selectors.EVENT_WRITE and held[sock]:
            held[sock] = held[sock][sock.send(held[sock]):]
            if not held[sock] and ended[other]:
                sock.shutdown(socket.SHUT_WR)
        if mask & selectors.EVENT_READ and not held[other]:
            data = sock.recv(65536)
            if data:
                held[other] = data
            else:
                ended[sock] = True
                if not held[other]:
                    other.shutdown(socket.SHUT_WR)
        if ended[sock] and ended[other] and not held[sock] and not held[other]:
            drop(sock)
            return
        interest(sock)
        interest(other)

    while True:
        for key, mask in events.select():
            sock = key.fileobj
            try:
                if sock is listener:
                    accept()
                elif sock in peer:
                    serve(sock, mask)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                if sock in peer:
                    drop(sock)

main(int(sys.argv[1]), sys.argv[2])
"""
"""A program of the standard library alone, run inside the box as `python -I -c RELAY PORT SOCKET`."""


class Contact(msgspec.Struct, frozen=True):
    """One host a box asked for. `address` is what was connected to; `refusal` says why it was not, or failed."""

    host: str
    port: int
    address: str | None = None
    refusal: str | None = None


class ProxyLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one proxy; times in seconds."""

    connections: int = 64
    head_timeout: float = 15.0
    connect_timeout: float = 15.0
    idle_timeout: float = 300.0
    contacts: int = 1000


class Resolver(Protocol):
    """How names become addresses. Raises OSError when a name has none."""

    def __call__(self, host: str, port: int) -> Awaitable[Sequence[str]]:
        """The addresses of `host`, preferred first."""
        ...


async def resolve(host: str, port: int) -> list[str]:
    """Addresses as the machine's own resolver gives them. Raises OSError when there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_own(address: Address) -> bool:
    """Is `address` one of this machine's? What listens on all interfaces is reached at it just as at loopback."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


class _Alive:
    """When something last passed through a tunnel, in either direction."""

    def __init__(self) -> None:
        self.touch()

    def touch(self) -> None:
        self._last = asyncio.get_running_loop().time()

    def idle(self) -> float:
        return asyncio.get_running_loop().time() - self._last


class _Refused(Exception):
    """`status` and one line for the client; `code` is the same in SOCKS5."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status
        self.code = 2 if status == 403 else 4


class Proxy:
    """A proxy for one box. `allow`: True (any public host, ports 80 and 443) or patterns (see `destinations`).

    Raises ConfigurationError when a pattern cannot be read. `start()` gives the path of the unix socket; `aclose()`
    ends every connection and removes it. `contacts` is what the box asked for, the last `limits.contacts` of it.
    """

    def __init__(
        self,
        allow: bool | Sequence[str],
        *,
        resolver: Resolver = resolve,
        limits: ProxyLimits = ProxyLimits(),  # noqa: B008 (frozen)
    ) -> None:
        self.allowance = Allowance.of(allow)
        self._resolver = resolver
        self._limits = limits
        self._contacts: deque[Contact] = deque(maxlen=limits.contacts)
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Task[None] | None = None
        self._folder: Path | None = None

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """Hosts the box reached or was refused, oldest first."""
        return tuple(self._contacts)

    @property
    def path(self) -> str:
        """The unix socket. Raises ConfigurationError before `start()` and after `aclose()`."""
        if self._folder is None:
            raise ConfigurationError("this proxy is not running: await its start() first")
        return str(self._folder / "socket")

    async def start(self) -> str:
        """Listen, and give the path of the socket. It lies in a folder that only this user may enter."""
        if self._folder is not None:
            raise ConfigurationError("this proxy is already started; make one Proxy for each box")
        long = len(tempfile.gettempdir()) > 70  # sun_path holds 108 bytes
        folder = Path(tempfile.mkdtemp(prefix="podium-proxy-", dir="/tmp" if long else None))  # noqa: S108 (private)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(folder / "socket"))
            listener.listen(self._limits.connections)
            listener.setblocking(False)
            (folder / "socket").chmod(0o666)  # the box has another uid; the folder keeps everybody else away
        except BaseException:
            listener.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._folder = folder
        self._listening = asyncio.get_running_loop().create_task(self._listen(listener))
        return self.path

    async def aclose(self) -> None:
        """End every connection and remove the socket. May be called again."""
        folder, self._folder = self._folder, None
        if folder is None or self._listening is None:
            return
        self._listening.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait({self._listening, *self._tasks})
        shutil.rmtree(folder, ignore_errors=True)

    async def __aenter__(self) -> Proxy:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _listen(self, listener: socket.socket) -> None:
        """Accept by hand: `asyncio.Server` loses sockets that it accepted in the very turn in which it is closed."""
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError:  # above all: this process has no file descriptor left
                    await asyncio.sleep(0.1)
                    continue
                task = loop.create_task(self._serve(connection, full=len(self._tasks) >= self._limits.connections))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                task.add_done_callback(lambda _, own=connection: own.close())  # cancelled before its first step

    async def _serve(self, connection: socket.socket, *, full: bool) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=MAX_HEAD)
        try:
            if full:
                most = self._limits.connections
                await _answer(writer, 503, f"more than {most} connections are open at once; close some first")
                return
            async with asyncio.timeout(self._limits.head_timeout):
                first = await reader.read(1)
            if first == b"\x05":
                await self._socks(reader, writer)
            elif first:
                await self._http(first, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client went away, or said nothing: there is nobody to tell
        finally:
            await _hang_up(writer, reader)

    async def _http(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._limits.head_timeout):
                head = await read_head(reader, first)
            if head is None:
                return
            up_reader, up_writer = await self._open(head.host, head.port)
        except Malformed as error:
            await _answer(writer, 400, str(error))
            return
        except _Refused as error:
            await _answer(writer, error.status, str(error))
            return
        try:
            if head.tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await self._tunnel(reader, writer, up_reader, up_writer)
            else:
                up_writer.write(head.forward)
                await self._exchange(head, reader, writer, up_reader, up_writer)
        finally:
            await _hang_up(up_writer)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self._limits.head_timeout):
            methods = await reader.readexactly((await reader.readexactly(1))[0])
            if 0 not in methods:
                writer.write(b"\x05\xff")
                return
            writer.write(b"\x05\x00")
            try:
                host, port = await read_socks(reader)
            except Malformed:
                writer.write(b"\x05\x07\x00\x01" + bytes(6))
                return
        try:
            up_reader, up_writer = await self._open(host, port)
        except _Refused as error:
            writer.write(bytes((5, error.code, 0, 1)) + bytes(6))
            await writer.drain()
            return
        try:
            writer.write(b"\x05\x00\x00\x01" + bytes(6))
            await self._tunnel(reader, writer, up_reader, up_writer)
        finally:
            await _hang_up(up_writer)

    async def _open(self, host: str | Address, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Check, resolve, check again, connect to what was checked. Raises _Refused; every outcome is a contact."""
        try:
            addresses = await self._permitted(host, port)
        except _Refused as error:
            self._contacts.append(Contact(str(host), port, None, str(error)))
            raise
        failure = "no address"
        for address in addresses:
            try:
                async with asyncio.timeout(self._limits.connect_timeout):
                    streams = await asyncio.open_connection(str(address), port, limit=MAX_HEAD)
            except TimeoutError:
                failure = f"{address} did not answer in {self._limits.connect_timeout:g} s"
            except OSError as error:
                failure = f"{address}: {error.strerror or error}"
            else:
                self._contacts.append(Contact(str(host), port, str(address)))
                return streams
        line = f"{spelled(host, port)} could not be reached ({failure})"
        self._contacts.append(Contact(str(host), port, None, line))
        raise _Refused(502, line)

    async def _permitted(self, host: str | Address, port: int) -> list[Address]:
        refusal = self.allowance.refuses_host(host, port)
        if refusal is not None:
            raise _Refused(403, refusal)
        if isinstance(host, str):
            try:
                async with asyncio.timeout(self._limits.connect_timeout):
                    answers = await self._resolver(host, port)
            except (OSError, TimeoutError, UnicodeError):
                raise _Refused(502, f"{spelled(host, port)} has no address that could be found") from None
            found = [address for text in answers if (address := parse_address(text)) is not None]
        else:
            found = [host]
        kept, refusal = self.allowance.choose(host, found, port, own=[one for one in found if is_own(one)])
        if not kept:
            raise _Refused(403 if refusal else 502, refusal or f"{spelled(host, port)} has no address")
        return kept

    async def _tunnel(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        alive = _Alive()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(reader, up_writer, alive))
            group.create_task(self._pump(up_reader, writer, alive))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, alive: _Alive) -> None:
        """Copy until the end of `reader`, then say so; ends too when broken, or when both directions are idle."""
        try:
            while True:
                try:
                    async with asyncio.timeout(self._limits.idle_timeout):
                        data = await reader.read(65536)
                        if not data:
                            break
                        alive.touch()
                        writer.write(data)
                        await writer.drain()
                except TimeoutError:
                    if alive.idle() >= self._limits.idle_timeout:
                        raise
        except (OSError, TimeoutError):
            writer.close()
            return
        if writer.can_write_eof():
            with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the transport closed meanwhile
                writer.write_eof()

    async def _exchange(
        self,
        head: Head,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        """One request, one response: nothing the client sends after its body reaches the server."""
        answer = asyncio.ensure_future(self._pump(up_reader, writer, _Alive()))
        body = asyncio.ensure_future(self._body(head, reader, up_writer))
        try:
            await asyncio.wait((answer, body), return_when=asyncio.FIRST_COMPLETED)
            if body.done() and body.result():
                await answer
        finally:
            for task in (answer, body):
                task.cancel()
            await asyncio.wait((answer, body))

    async def _body(self, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send the body as the head describes it. False when it ended early or cannot be read."""
        left = head.length
        with contextlib.suppress(OSError, TimeoutError, Malformed):
            while left is None or left > 0:
                async with asyncio.timeout(self._limits.idle_timeout):
                    if left is None:
                        chunk = await read_chunk(reader)
                        writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                        if not chunk:
                            left = 0
                    else:
                        chunk = await reader.read(min(left, 65536))
                        if not chunk:
                            return False
                        left -= len(chunk)
                        writer.write(chunk)
                    await writer.drain()
            return True
        return False


async def _answer(writer: asyncio.StreamWriter, status: int, line: str) -> None:
    """Say no. The line is the reason phrase too: of a failed CONNECT most clients show nothing else."""
    text = f"podium sandbox: {line}".encode("ascii", "replace")
    names = {400: b"Bad Request", 403: b"Forbidden", 502: b"Bad Gateway", 503: b"Service Unavailable"}
    head = b"HTTP/1.1 %d %s: %s\r\n" % (status, names[status], text)
    fields = b"Content-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (len(text) + 1)
    writer.write(head + fields + text + b"\n")
    with contextlib.suppress(OSError):
        await writer.drain()


async def _hang_up(writer: asyncio.StreamWriter, reader: asyncio.StreamReader | None = None) -> None:
    """Close. With `reader`, first let the client finish: closing on unread bytes would throw away what it was told."""
    try:
        if reader is not None and not writer.is_closing():
            with contextlib.suppress(OSError, RuntimeError, TimeoutError):
                async with asyncio.timeout(2):
                    writer.write_eof()
                    for _ in range(64):
                        if not await reader.read(65536):
                            break
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                await writer.wait_closed()
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)  # its socket is closed in the next turn of the loop
