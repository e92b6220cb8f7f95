"""TARGET: how a new process finds a member: `module:attribute`, `file.py:attribute`, or a team file.

Only names are stored in a run; code is always loaded from where the user keeps it. Loading runs that code. What a team
file says is `team_file`'s to know; this module finds the tools that it names.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from . import team_file
from .core.codec import content_digest
from .core.errors import ConfigurationError
from .ports import Member, Tool, is_tool
from .ports.selectors import nearest


def load(target: str) -> Member:
    """The member that a TARGET names. An attribute that is a function without parameters is called for it.

    Relative names are relative to the working folder; a team file's own are relative to its folder. The member
    remembers the name it was loaded by, so that its runs record where a new process finds it.
    Raises ConfigurationError with a line that says what was looked for and what is there.
    """
    split = team_file.split(target)
    if split is None:
        found = _member(_value(target, Path.cwd(), _is_member, "members"), target)
    else:
        found = team_file.load(*split, tools=_tools, grade=_grade)
    with contextlib.suppress(AttributeError, TypeError):
        # One that takes no new attributes runs as well; resuming it elsewhere then needs the TARGET said again.
        cast("Any", found).target = target
    return found


def _value(reference: str, folder: Path, wanted: Callable[[Any], bool], what: str) -> Any:
    """What a reference names, seen from a folder. An error offers those of the module that are `wanted`, as `what`."""
    where, colon, attribute = reference.rpartition(":")
    if not colon or not where or not attribute:
        files = ", or a team file: file.toml" if wanted is _is_member else ""
        raise ConfigurationError(f"{reference!r} is not a TARGET: write module:attribute or file.py:attribute{files}")
    module = _file(where, folder) if where.endswith(".py") else _module(where, folder)
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            names = ", ".join(_names_in(module, wanted)) or "none"
            likely = _likely(part, value) if names == "none" else ""
            raise ConfigurationError(f"{where} has no {attribute!r}{likely or f'; {what} found there: {names}'}")
        value = getattr(value, part)
    return value


def _tools(reference: str, folder: Path, arguments: Mapping[str, Any] | None) -> Sequence[Tool]:
    """The tool or tools that a reference names, or, with arguments, that what it names makes of them."""
    value = _value(reference, folder, is_tool, "tools")
    if arguments is not None:
        if is_tool(value) or not callable(value):
            raise ConfigurationError(f"{reference} makes no tools: write it as a text, without make")
        try:
            value = value(**arguments)
        except ConfigurationError as error:
            raise ConfigurationError(f"{reference}: {error}") from error
        except Exception as error:
            raise ConfigurationError(
                f"making tools with {reference} failed: {type(error).__name__}: {error}"
            ) from error
        if inspect.iscoroutine(value):
            value.close()
            raise ConfigurationError(f"{reference} is asynchronous: what makes tools here is a plain function")
    if is_tool(value):
        return (cast("Tool", value),)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        several = tuple(cast("Sequence[Any]", value))
        if several and all(is_tool(each) for each in several):
            return cast("tuple[Tool, ...]", several)
    what = type(cast("object", value)).__name__
    if arguments is not None:
        raise ConfigurationError(f"{reference} made {what}, not tools: return a tool, or a list of them")
    raise ConfigurationError(
        f"{reference} is {what}, not a tool: decorate the function with @tool(effect=...), or write "
        f'{{ make = "{reference}" }} with its arguments when it makes tools'
    )


def _grade(reference: str, folder: Path) -> Any:
    """The function, or the member, that says how sure an answer is."""
    value = _value(reference, folder, callable, "functions")
    if not callable(value) or inspect.isclass(value) or is_tool(value):
        raise ConfigurationError(f"{reference} is no function of an answer, and no member that grades one")
    return value


def _member(value: Any, target: str) -> Member:
    if _is_member(value):
        return cast("Member", value)
    if is_tool(value):
        raise ConfigurationError(
            f"{target} is a tool: give it to an agent, Agent(..., tools=[{value.name}]), and name that"
        )
    if callable(value) and not inspect.isclass(value):
        if inspect.iscoroutinefunction(value):
            raise ConfigurationError(f"{target} is a plain `async def`: mark it with @member")
        if not inspect.signature(value).parameters:
            made = value()
            if _is_member(made):
                return cast("Member", made)
    raise ConfigurationError(
        f"{target} is {type(value).__name__}, not a member: an Agent, a team, or a @member function"
    )


def _is_member(value: Any) -> bool:
    # A tool has a name and capabilities too.
    named = callable(value) and isinstance(getattr(value, "name", None), str) and hasattr(value, "capabilities")
    return named and not is_tool(value)


def _names_in(module: ModuleType, wanted: Callable[[Any], bool]) -> list[str]:
    return sorted(name for name, value in vars(module).items() if not name.startswith("_") and wanted(value))


def _likely(name: str, where: object) -> str:
    """The end of an error: the name that was probably meant, be it of a function that makes what is wanted."""
    ending = nearest(name, [known for known in dir(where) if not known.startswith("_")])
    return ending if "did you mean" in ending else ""


def _file(where: str, folder: Path) -> ModuleType:
    path = (folder / Path(where).expanduser()).resolve()
    if not path.is_file():
        raise ConfigurationError(f"there is no file {where}")
    name = f"podium_target_{path.stem}_{content_digest(str(path).encode())[:16]}"  # the same in every process
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{where} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigurationError(f"loading {where} failed: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _module(where: str, folder: Path) -> ModuleType:
    here = str(folder)
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is not None and (where == error.name or where.startswith(f"{error.name}.")):
            raise ConfigurationError(f"there is no module {where!r} on the import path") from error
        raise ConfigurationError(f"loading {where} failed: {error}") from error
    except Exception as error:
        raise ConfigurationError(f"loading {where} failed: {type(error).__name__}: {error}") from error
    finally:
        if added:
            sys.path.remove(here)
