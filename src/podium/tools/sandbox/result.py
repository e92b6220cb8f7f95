"""What a run in a sandbox came to, and the error when there can be no sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from podium.core.errors import ConfigurationError

Limit: TypeAlias = Literal["timeout", "cpu", "memory", "processes", "disk", "output"]
Rung: TypeAlias = Literal["A", "B", "C", "D"]


class SandboxResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run. Everything but `output`, `stderr`, `value` and `files` is said by the supervisor.

    Attributes:
        success: it ended with exit code 0 and no limit stopped it.
        output: its standard output; bytes that are not UTF-8 are replaced.
        stderr: its standard error.
        value: what the code or function returned, as JSON; None of a program.
        error: one line on why it did not succeed; None when it did.
        exit_code: of its program; negative is the signal that ended it; None when it was stopped.
        duration_ms: milliseconds from its start to its end.
        limit: the limit that stopped it: `timeout, cpu, memory, processes, disk, output`.
        files: the plain files that it left in the work dir, by relative name.
        left_out: how many files there were beyond what is collected.
        cpu_ms: milliseconds of CPU time of all its processes; None when nobody could ask, since `timeout` or `output`
            stopped it from outside.
        rung: how it was confined (see `Sandbox`).
    """

    success: bool
    output: str = ""
    stderr: str = ""
    value: Any = None
    error: str | None = None
    exit_code: int | None = None
    duration_ms: float = 0.0
    limit: Limit | None = None
    files: Mapping[str, bytes] = {}
    left_out: int = 0
    cpu_ms: float | None = None
    rung: Rung = "B"


class Missing(msgspec.Struct, frozen=True):
    """A step of building a sandbox that this machine refuses."""

    rung: Rung
    step: str
    errno: int
    text: str
    remedy: str

    def __str__(self) -> str:
        code = f" (errno {self.errno})" if self.errno else ""
        return f"{self.step}: {self.text}{code}; {self.remedy}"


class SandboxUnavailable(ConfigurationError):
    """This machine cannot isolate a program well enough. `missing` says which steps it refuses, and what to do."""

    def __init__(self, missing: Sequence[Missing], floor: str = "B") -> None:
        self.missing = list(missing)
        why = str(self.missing[-1]) if self.missing else "nothing was tried"
        super().__init__(f"no sandbox of rung {floor} or better on this machine: {why}")
