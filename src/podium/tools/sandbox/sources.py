"""What of the host's Python a box may read: the interpreter, installed packages, and the source of one module.

Folders are named one by one. A project's own folder is never given as a whole (it holds settings, keys and stores
beside the code), only the modules and packages in it.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

from podium.core.errors import ConfigurationError

_INSTALLED: Final = ("site-packages", "dist-packages")
_MOST_MODULES: Final = 256
"""Modules and packages of a project that are given to a box; in a larger folder only the one that is called."""
_VISIBLE: Final = ("/usr/", "/bin/", "/lib/", "/lib64/")
"""What every box sees anyway."""
_HIDDEN: Final = ("/box", "/proc", "/dev", "/sys")
Mount: TypeAlias = tuple[str, str]


class Python:
    """How to start the interpreter in a box: the program, the folders it needs, and its `sys.path`."""

    def __init__(self, mounts: Iterable[str], path: Iterable[str]) -> None:
        self.program = os.path.realpath(sys.executable)
        self.path = list(dict.fromkeys(path))
        self.mounts: list[Mount] = [(each, each) for each in _outermost(mounts)]


def interpreter() -> Python:
    """The interpreter with the standard library and installed packages, for `Sandbox.python`."""
    return _interpreter(tuple(sys.path))


@functools.lru_cache(maxsize=8)
def _interpreter(path: tuple[str, ...]) -> Python:
    base, program = os.path.realpath(sys.base_prefix), Path(os.path.realpath(sys.executable))
    folders = [str(program), *(f"{base}/{part}" for part in ("bin", "lib", "lib64"))]
    installed = [entry for entry in path if Path(entry).name in _INSTALLED and Path(entry).is_dir()]
    standard = [entry for entry in path if entry not in installed and _is_standard(entry)]
    return Python([*folders, *installed], [*standard, *installed])


def _is_standard(entry: str) -> bool:
    bases = {os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix)}
    return bool(entry) and any(os.path.realpath(entry).startswith(f"{base}/lib") for base in bases)


def importing(module: str) -> Python:
    """The interpreter with what importing `module` takes. Raises ConfigurationError when there is no such module."""
    return _importing(module, tuple(sys.path))


@functools.lru_cache(maxsize=64)
def _importing(module: str, path: tuple[str, ...]) -> Python:
    plain = _interpreter(path)
    roots = {str(Path(__file__).parents[3]): ["podium"], **_editable(path)}
    root, name = _home(module)
    if root is not None and root not in plain.path:
        roots[root] = _modules(Path(root), name)
    added = [f"{folder}/{each}" for folder, names in roots.items() if folder not in plain.path for each in names]
    ordered = [entry for entry in path if entry in roots]
    return Python(
        [*(source for source, _ in plain.mounts), *added],
        [*plain.path, *ordered, *roots],
    )


def _home(module: str) -> tuple[str | None, str]:
    """The folder on `sys.path` in which a module's outermost package lies, and that package's name in it."""
    top = module.partition(".")[0]
    known = sys.modules.get(top)
    spec = getattr(known, "__spec__", None) or importlib.util.find_spec(top)
    if spec is None:
        raise ConfigurationError(f"there is no module {module!r}: install it, or start Python where it can be imported")
    if spec.submodule_search_locations:
        folder = Path(next(iter(spec.submodule_search_locations))).resolve()
        return str(folder.parent), folder.name
    if spec.origin is None or not Path(spec.origin).is_file():
        return None, ""  # built in
    file = Path(spec.origin).resolve()
    return str(file.parent), file.name


def _modules(root: Path, wanted: str) -> list[str]:
    """The modules and packages of a folder, `wanted` first."""
    found = [wanted]
    for entry in sorted(root.iterdir()):
        if entry.name.startswith(".") or entry.name == wanted:
            continue
        if entry.suffix == ".py" or (entry.is_dir() and (entry / "__init__.py").is_file()):
            found.append(entry.name)
    return found if len(found) <= _MOST_MODULES else [wanted]


def _editable(path: tuple[str, ...]) -> dict[str, list[str]]:
    """Folders that installed packages name in `.pth` files: packages installed for development."""
    found: dict[str, list[str]] = {}
    for folder in (Path(entry) for entry in path if Path(entry).name in _INSTALLED):
        for file in sorted(folder.glob("*.pth")):
            for line in file.read_text("utf-8", "replace").splitlines():
                root = Path(line.strip()) if line.startswith("/") else None
                if root is not None and str(root) in path and root.is_dir():
                    found[str(root)] = _modules(root, "")[1:]
    return found


def _outermost(paths: Iterable[str]) -> list[str]:
    """The paths that exist, without what is below another or visible anyway."""
    kept: list[str] = []
    for path in sorted({os.path.normpath(path) for path in paths}):
        below = any(path == other or path.startswith(other + "/") for other in kept)
        if not below and not path.startswith((*_VISIBLE, *_HIDDEN)) and Path(path).exists():
            kept.append(path)
    return kept
