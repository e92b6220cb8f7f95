"""`Sandbox`: run a program, Python code or a function where it can do no harm, and learn what became of it.

It decides what is asked of a box and how an outcome reads; `exchange` speaks with the box, `pool` and `boxes` have it
made, `ladder` knows what the machine can do.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import keyword
import os
import signal
import threading
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar, cast

from podium.core.errors import ConfigurationError

from . import sources, values
from .destinations import Allowance
from .exchange import Outcome, Request, exchange
from .ladder import LADDER, RUNGS
from .pool import POOL
from .profile import PORT, PRELOAD, SOCKET, Profile, encodable
from .result import Limit, Missing, Rung, SandboxResult, SandboxUnavailable

T = TypeVar("T")
_MOST_ARGUMENTS: Final = 1 << 20
_MOST_REQUEST: Final = 64 << 20
_MOST_COLLECTED: Final = 256 << 20
_PAYLOAD: Final = Path(__file__).parent / "inside" / "payload.py"


class Sandbox:
    """A box for programs that are not trusted. Every run gets a new one, and nothing of it is left afterwards.

    A run sees the system's programs and libraries read-only, a fresh `/proc`, and a work dir (its HOME and current
    folder); none of the host's files, processes, environment, descriptors or network. It is its own user without
    privileges.

    Args:
        timeout: seconds a run may take from its start. 30.
        memory_mb: megabytes for all its processes together. 512.
        cpu_seconds: seconds of CPU time for all its processes together. No limit but the timeout.
        processes: processes and threads at once. 64.
        disk_mb: megabytes of all that it writes (work dir, /tmp, /dev/shm); kept in memory, never on a disk. 64.
        network: False; True for public hosts on ports 80 and 443; or the hosts that may be reached
            (`"example.com"`, `"*.example.com"`, `"host:port"`, a network such as `"10.0.0.0/8"`), on ports 80 and
            443 where none is given.
        env: environment variables; the host's are never passed on.
        files: what lies in the work dir at the start, by relative name.
        output_limit: bytes of standard output and error together, and of a value. 1 MiB.
        floor: the least isolation to accept: "A" (with control groups), "B" (namespaces), "C" (by bwrap), "D" (no
            namespaces: files and programs are still confined, other processes' existence and the machine's
            resources less so). "B".
        warm: boxes of a kind kept ready after its first use, each about 12 MB of memory. 1.
        most_files: plain files of the work dir that come back with a result. 100.
        most_bytes: bytes of those, at most 256 MiB. 16 MiB.

    Raises ConfigurationError for bad values; SandboxUnavailable from a run when this machine cannot isolate enough.
    """

    TIMEOUT: ClassVar[float] = 30.0
    """Seconds a run may take, by default."""

    def __init__(
        self,
        *,
        timeout: float = TIMEOUT,
        memory_mb: int = 512,
        cpu_seconds: float | None = None,
        processes: int = 64,
        disk_mb: int = 64,
        network: bool | Sequence[str] = False,
        env: Mapping[str, str] | None = None,
        files: Mapping[str, bytes | str] | None = None,
        output_limit: int = 1 << 20,
        floor: Rung = "B",
        warm: int = 1,
        most_files: int = 100,
        most_bytes: int = 16 << 20,
    ) -> None:
        _numbers(float, timeout=timeout, cpu_seconds=0 if cpu_seconds is None else cpu_seconds)
        _numbers(
            int, memory_mb=memory_mb, processes=processes, disk_mb=disk_mb, output_limit=output_limit, warm=warm,
            most_files=most_files, most_bytes=most_bytes,
        )  # fmt: skip
        if not 0 < timeout < float("inf"):
            raise ConfigurationError(f"timeout={timeout!r}: give seconds above 0")
        if floor not in RUNGS:
            raise ConfigurationError(f"floor={floor!r}: say one of {', '.join(RUNGS)}")
        if output_limit < 1 or warm < 0 or most_files < 0 or most_bytes < 0:
            raise ConfigurationError("output_limit= is above 0; warm=, most_files= and most_bytes= are 0 or more")
        if most_bytes > _MOST_COLLECTED:
            raise ConfigurationError(f"most_bytes={most_bytes}: give at most {_MOST_COLLECTED}; take more out in parts")
        self.timeout, self.output_limit, self.warm = timeout, output_limit, warm
        self.floor: Rung = floor
        self.network = (
            network if isinstance(network, bool) else (network,) if isinstance(network, str) else tuple(network)
        )
        Allowance.of(self.network)  # a pattern that cannot be read is said now
        _named("env", env or {}, '{"LANG": "C"}')
        _named("files", files or {}, '{"data/in.csv": "a,b"}')
        self.files = _checked_files(files or {}, disk_mb << 20)
        self.profile = Profile(
            memory_mb=memory_mb,
            cpu_seconds=cpu_seconds,
            processes=processes,
            disk_mb=disk_mb,
            env=dict(env or {}),
            most_files=most_files,
            most_bytes=min(most_bytes, disk_mb << 20),
        )

    def __repr__(self) -> str:
        given = self.profile
        return (
            f"Sandbox(timeout={self.timeout:g}, memory_mb={given.memory_mb}, processes={given.processes}, "
            f"disk_mb={given.disk_mb}, network={self.network!r}, floor={self.floor!r})"
        )

    # ------------------------------------------------------------------------------------------------------- runs

    async def run(
        self, argv: Sequence[str], *, stdin: bytes | str | None = None, files: Mapping[str, bytes | str] | None = None
    ) -> SandboxResult:
        """Run a program of the system (found on its PATH) with arguments; no shell reads them.

        `stdin` is its input, empty by default; `files` are more for the work dir, of this run.
        """
        if (
            isinstance(argv, str)
            or not argv
            or not all(isinstance(each, str) for each in cast("Sequence[object]", argv))
        ):
            raise ConfigurationError('argv is the program and its arguments, as in ["ls", "-l"]; or use shell(script)')
        if not all(map(encodable, argv)) or sum(map(len, argv)) > _MOST_ARGUMENTS:
            raise ConfigurationError(
                "arguments are text without NUL and unpaired surrogates, at most 1 MiB together: give other data by "
                "stdin="
            )
        given = _bytes("stdin", b"" if stdin is None else stdin)
        outcome, rung = await self._exchange(sources.interpreter(), None, tuple(argv), given, files)
        return self._result(outcome, rung, program=argv[0])

    async def shell(
        self, script: str, *, stdin: bytes | str | None = None, files: Mapping[str, bytes | str] | None = None
    ) -> SandboxResult:
        """Run a script with `/bin/sh`."""
        return await self.run(["/bin/sh", "-c", script], stdin=stdin, files=files)

    async def python(
        self,
        code: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        files: Mapping[str, bytes | str] | None = None,
    ) -> SandboxResult:
        """Run Python code. It sees `inputs` as variables, and the packages that are installed here.

        `value` is the variable `result` when the code sets one, else the value of its last expression. Inputs and
        `result` must be JSON or close to it, and arrive as what they are in JSON: data classes, Pydantic models, sets,
        dates, decimals, numpy's arrays. Another last expression comes as its `repr`.
        """
        for name in inputs or {}:
            if not str(name).isidentifier() or keyword.iskeyword(name):
                raise ConfigurationError(f"inputs: {name!r} cannot be a variable: name it as in {{'prices': [1, 2]}}")
        request = {"code": code, "inputs": dict(inputs or {})}
        outcome, rung = await self._ask(sources.interpreter(), request, "inputs", (), files)
        return self._result(outcome, rung, valued=True)

    async def call(
        self,
        function: str,
        args: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        files: Mapping[str, bytes | str] | None = None,
    ) -> SandboxResult:
        """Call `"module:function"` with arguments (JSON or close to it), by name or in order; async functions too.

        The box imports it from its source: installed packages and the modules and packages beside it can be read,
        read-only, and nothing else of the project. `value` is what it returned, as for `python`.
        """
        module, colon, path = function.partition(":")
        words = [*module.split("."), *path.split(".")]
        if not colon or module == "__main__" or not all(word.isidentifier() for word in words):
            raise ConfigurationError(
                f'{function[:80]!r} is no function of a module that can be imported: write "package.module:function"'
            )
        given = dict(args) if isinstance(args, Mapping) else list(args or ())
        request = {"call": function, "args": given or {}}
        outcome, rung = await self._ask(sources.importing(module), request, "args", (module,), files)
        return self._result(outcome, rung, valued=True)

    def run_sync(
        self, argv: Sequence[str], *, stdin: bytes | str | None = None, files: Mapping[str, bytes | str] | None = None
    ) -> SandboxResult:
        """`run` from synchronous code."""
        return _sync(self.run(argv, stdin=stdin, files=files))

    def shell_sync(
        self, script: str, *, stdin: bytes | str | None = None, files: Mapping[str, bytes | str] | None = None
    ) -> SandboxResult:
        """`shell` from synchronous code."""
        return _sync(self.shell(script, stdin=stdin, files=files))

    def python_sync(
        self,
        code: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        files: Mapping[str, bytes | str] | None = None,
    ) -> SandboxResult:
        """`python` from synchronous code."""
        return _sync(self.python(code, inputs, files=files))

    def call_sync(
        self,
        function: str,
        args: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        files: Mapping[str, bytes | str] | None = None,
    ) -> SandboxResult:
        """`call` from synchronous code."""
        return _sync(self.call(function, args, files=files))

    # ------------------------------------------------------------------------------------------------- the machine

    def rung(self) -> Rung:
        """How its runs are confined on this machine. Tries when nobody has yet. Raises SandboxUnavailable."""
        return _apart(LADDER.best, self.floor)

    # ------------------------------------------------------------------------------------------------------ inside

    async def _ask(
        self,
        python: sources.Python,
        request: Mapping[str, Any],
        what: str,
        preload: tuple[str, ...],
        files: Mapping[str, bytes | str] | None,
    ) -> tuple[Outcome, Rung]:
        """Give a request to an interpreter in a box."""
        try:
            line = json.dumps(request, allow_nan=False, default=values.plain).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"{what} must be JSON, or close to it: {error}") from None
        if len(line) > _MOST_REQUEST:
            most = _MOST_REQUEST >> 20
            raise ConfigurationError(f"code and {what} hold at most {most} MiB: give large data by files=")
        stdin = b"%d\n" % len(line) + line
        return await self._exchange(python, preload, (), stdin, files)

    async def _exchange(
        self,
        python: sources.Python,
        preload: tuple[str, ...] | None,
        argv: tuple[str, ...],
        stdin: bytes,
        files: Mapping[str, bytes | str] | None,
    ) -> tuple[Outcome, Rung]:
        """One box, one call. `preload` are modules to import before it; None runs `argv` instead of Python."""
        rung = LADDER.known(self.floor) or await asyncio.to_thread(LADDER.best, self.floor)
        own = _checked_files({**self.files, **(files or {})}, self.profile.disk_mb << 20) if files else self.files
        request = Request(argv=argv, stdin=stdin, files=own, timeout=self.timeout, output_limit=self.output_limit)
        program = None if preload is None else _interpreter(python)
        env = {PRELOAD: json.dumps(preload)} if preload else None
        async with self._proxied() as (proxy, relay):
            spec = self.profile.spec(rung, argv=program, mounts=python.mounts, proxy=proxy, relay=relay, env=env)
            try:
                outcome = await exchange(POOL.take(spec), request)
            except OSError as error:
                raise ConfigurationError(f"the sandbox could not be started: {error}") from error
            if self.warm and proxy is None and outcome.failed is None:
                with contextlib.suppress(OSError):  # the call is done; the next one says what is wrong
                    POOL.fill(spec, self.warm)
        return outcome, rung

    @contextlib.asynccontextmanager
    async def _proxied(self) -> AsyncGenerator[tuple[str | None, list[str] | None]]:
        """The host's proxy for one run, when hosts may be reached."""
        if not self.network:
            yield None, None
            return
        from .network import RELAY, Proxy

        proxy = Proxy(self.network)
        try:
            path = await proxy.start()
        except OSError as error:
            raise ConfigurationError(
                f"the sandbox's proxy cannot listen ({error}): set TMPDIR to a writable folder"
            ) from error
        program = sources.interpreter().program
        try:
            yield path, [program, "-I", "-S", "-c", RELAY, str(PORT), SOCKET]
        finally:
            await proxy.aclose()

    def _result(self, outcome: Outcome, rung: Rung, *, valued: bool = False, program: str = "") -> SandboxResult:
        if outcome.failed is not None:
            failed = outcome.failed
            raise ConfigurationError(f"the sandbox could not be made: {failed['step']}: {failed['text']}")
        end = outcome.end or {}
        flooded = outcome.limit == "output"
        output, stderr = (_text(raw, cut=flooded) for raw in (outcome.stdout, outcome.stderr))
        limit, code = self._judged(outcome)
        error = self._explained(limit, code, end, stderr, program)
        value = None
        if error is None and valued:
            try:
                value = values.read(outcome.value)
            except values.UnreadableValue as unreadable:
                error = str(unreadable)
        return SandboxResult(
            success=error is None,
            output=output,
            stderr=stderr,
            value=value,
            error=error,
            exit_code=code,
            duration_ms=round(outcome.duration * 1000, 3),
            limit=limit,
            files=outcome.files,
            left_out=end.get("left_out", 0),
            cpu_ms=round(end["cpu"] * 1000, 3) if "cpu" in end else None,
            rung=rung,
        )

    def _judged(self, outcome: Outcome) -> tuple[Limit | None, int | None]:
        """The limit that stopped a run, and the exit code it reached by itself."""
        limit: Any = outcome.limit
        end = outcome.end
        if end is None:
            return limit, None
        limit = limit or end["limit"]
        if limit is not None:
            return limit, None
        code = os.waitstatus_to_exitcode(end["status"])
        bound = self.profile.cpu_seconds
        if bound is not None and end["cpu"] >= bound and code in (-signal.SIGXCPU, -signal.SIGKILL):
            return "cpu", code
        if code == -signal.SIGXFSZ or (code != 0 and end["full"]):
            return "disk", code
        if code != 0 and end["crowded"]:
            return "processes", code
        return None, code

    def _explained(
        self, limit: Limit | None, code: int | None, end: Mapping[str, Any], stderr: str, program: str
    ) -> str | None:
        """One line on why a run did not succeed; None when it did."""
        given = self.profile
        if limit is not None:
            return {
                "timeout": f"it was stopped after {self.timeout:g} s; give it more with timeout=",
                "cpu": f"it used its {given.cpu_seconds or 0:g} s of CPU time; give it more with cpu_seconds=",
                "memory": f"it used its {given.memory_mb} MB of memory; give it more with memory_mb=",
                "processes": f"it reached its {given.processes} processes; give it more with processes=",
                "disk": f"it filled its {given.disk_mb} MB of disk; give it more with disk_mb=",
                "output": f"it wrote more than {self.output_limit} bytes; give it more with output_limit=",
            }[limit]
        if code is None:
            return "the sandbox was ended from outside (does the machine run out of memory?)"
        if end["not_started"]:
            number, _, text = end["not_started"].partition(":")
            if number == "2":
                return f"there is no program {program[:100]!r} in the sandbox"
            return f"it could not be started: {text}"
        if code == 0:
            return None
        how = f"it was ended by {_signal(-code)}" if code < 0 else f"it ended with exit code {code}"
        last = _last_line(stderr)
        return f"{how}: {last}" if last else how


def _interpreter(python: sources.Python) -> list[str]:
    return [python.program, "-I", "-S", "-B", "-c", _payload(), json.dumps(python.path)]


@functools.cache
def _payload() -> str:
    return _PAYLOAD.read_text("utf-8")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _text(raw: bytes, *, cut: bool) -> str:
    """Output as text. Replacements are larger than what they replace: `cut` keeps a flood of them within the bound."""
    text = raw.decode("utf-8", "replace")
    return text.encode()[: len(raw)].decode("utf-8", "ignore") if cut else text


def _last_line(text: str) -> str:
    """The last line of an error, where Python and most programs say what is wrong, without control characters."""
    line = text.rstrip().rpartition("\n")[2][:300]
    return "".join(char if char.isprintable() else "?" for char in line)


def _numbers(kind: type[int] | type[float], **given: object) -> None:
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | kind):
            raise ConfigurationError(f"{name}={value!r}: give a {'whole ' if kind is int else ''}number")


def _bytes(name: str, content: object) -> bytes:
    """Content as bytes; text as UTF-8. Raises ConfigurationError for what is neither."""
    if isinstance(content, str):
        try:
            return content.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(f"{name}: it holds an unpaired surrogate: give bytes") from None
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(cast("bytes", content))
    raise ConfigurationError(f"{name}: give text or bytes, not {type(content).__name__}")


def _checked_files(files: Mapping[str, bytes | str], room: int) -> dict[str, bytes]:
    """Files for a work dir, as bytes. Raises ConfigurationError for names that lead out of it, or too much."""
    found: dict[str, bytes] = {}
    for name, content in files.items():
        parts = name.split("/")
        if not encodable(name) or len(name) > 1000 or any(part in ("", ".", "..") for part in parts):
            raise ConfigurationError(f"files: {name[:80]!r} is no name in the work dir: write it as in 'data/in.csv'")
        found[name] = _bytes(f"files: {name[:80]!r}", content)
    if sum(map(len, found.values())) > room:
        raise ConfigurationError(f"files: they hold more than the sandbox's disk of {room >> 20} MB: raise disk_mb=")
    return found


def _named(option: str, given: object, such: str) -> None:
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{option}= takes names with what they hold, as in {such}")


def _sync(working: Coroutine[Any, Any, T]) -> T:
    """Do it on an event loop of its own; in a thread when this one has a running loop."""
    return _apart(asyncio.run, working)


def _apart(work: Any, *args: Any) -> Any:
    """`work(*args)`, which may start an event loop, in a thread when this one runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work(*args)
    found: list[Any] = []
    failed: list[BaseException] = []

    def inside() -> None:
        try:
            found.append(work(*args))
        except BaseException as error:  # noqa: BLE001 (raised again where it is waited for)
            failed.append(error)

    thread = threading.Thread(target=inside, name="podium-sandbox")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def describe() -> tuple[bool, str, str]:
    """Whether tools can be isolated here, in a line; and what to do about what is missing, or ""."""
    best, missing = probe()
    if best is None:
        worst = missing[-1]
        return False, f"{worst.step}: {worst.text}", worst.remedy
    bounds = "control groups bound memory and processes" if best == "A" else "a watchdog bounds memory"
    how = "bwrap" if best == "C" else "namespaces"
    lacking = "" if best == "A" else f"{missing[0].step}: {missing[0].remedy}"
    return True, f"rung {best}: {how}, Landlock, seccomp; {bounds}", lacking


def probe() -> tuple[Rung | None, list[Missing]]:
    """The best rung of this machine but D, or None; and what those that were tried in vain lack. Tries what is new."""
    try:
        best: Rung | None = _apart(LADDER.best, "C")
    except SandboxUnavailable:
        best = None
    return best, LADDER.refused()
