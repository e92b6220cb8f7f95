"""What is crash-tested: a member by its TARGET, and what the module it stands in may supply beside it.

All of these are optional, plain functions in TARGET's module:

- `setup(world)` prepares a fresh world, once for each killed run.
- `effects(world)` reads the outside world: a list, or a dict, of plain values, one for each thing that was done. It
  judges the result and answers for steps in doubt. An effect that holds the idempotency key is told apart from its
  twins. Leave out what varies by itself (times, random ids).
- `answers(pending)` decides for people: True or False for an approval (or a dict, the edited arguments), the answer to
  a question, the payload of a signal; None leaves it to the default.
- `deps(world)` makes the typed dependencies the member is run with.

The *world* is a fresh, empty folder: the working directory of the process, and its path is in `PODIUM_WORLD`. Without
`effects`, the lines of the files in it are the effects.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from podium import targets, team_file
from podium.core.errors import ConfigurationError
from podium.ports import Member
from podium.schema import dump

WORLD = "PODIUM_WORLD"
"""The environment variable that holds the path of the world."""

MOST_TEXT = 1 << 20
"""Bytes of a file that are read line by line; a larger one counts as its digest."""


class Subject:
    """A member and the hooks beside it."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.member: Member = targets.load(target)
        self.module = _module_of(target)
        self._setup = self._hook("setup", 1)
        self._effects = self._hook("effects", 1)
        self._answers = self._hook("answers", 1)
        self._deps = self._hook("deps", 1)

    def _hook(self, name: str, parameters: int) -> Callable[..., Any] | None:
        hook = getattr(self.module, name, None)
        if hook is None or not inspect.isfunction(hook):
            return None
        if inspect.iscoroutinefunction(hook) or len(inspect.signature(hook).parameters) != parameters:
            raise ConfigurationError(f"{name} of {self.target} must be a plain function of {parameters} parameter(s)")
        return hook

    @property
    def reads_the_world(self) -> bool:
        """Whether TARGET supplies `effects`."""
        return self._effects is not None

    def setup(self, world: Path) -> None:
        """Prepare a fresh world."""
        if self._setup is not None:
            self._setup(world)

    def deps(self, world: Path) -> Any:
        """The member's dependencies."""
        return None if self._deps is None else self._deps(world)

    def answer(self, pending: Any) -> Any:
        """What TARGET's `answers` says; None for nothing."""
        return None if self._answers is None else self._answers(pending)

    def effects(self, world: Path) -> Counter[str]:
        """What has been done to the world, as canonical JSON texts with how often each is there."""
        found = _files(world) if self._effects is None else self._effects(world)
        if isinstance(found, Mapping):
            entries = [[str(key), value] for key, value in cast("Mapping[object, object]", found).items()]
        elif isinstance(found, list | tuple | set | frozenset):
            entries = list(cast("list[object]", found))
        else:
            raise ConfigurationError(f"effects of {self.target} returned {type(found).__name__}: give a list or a dict")
        return Counter(canonical(entry) for entry in entries)


def canonical(value: object) -> str:
    """A value as the one JSON text that stands for it."""
    return json.dumps(dump(value, what="the effect"), sort_keys=True, ensure_ascii=False)


def _files(world: Path) -> list[list[str]]:
    found: list[list[str]] = []
    for path in sorted(world.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(world).as_posix()
        lines = _text(path.read_bytes())
        found += [[name, line] for line in lines or [""]]
    return found


def _text(data: bytes) -> list[str]:
    if len(data) <= MOST_TEXT:
        with contextlib.suppress(UnicodeError):
            return data.decode().splitlines()
    return [hashlib.blake2b(data, digest_size=12).hexdigest()]


def _module_of(target: str) -> ModuleType:
    if team_file.split(target) is not None:
        return ModuleType("team_file")  # Data: it has no hooks.
    where = target.rpartition(":")[0]
    if not where.endswith(".py"):
        return sys.modules[where]
    path = str(Path(where).expanduser().resolve())
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == path:
            return module
    raise ConfigurationError(f"{where} was loaded, but its module is not to be found")
