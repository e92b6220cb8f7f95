"""Settings: `podium.toml`, then PODIUM_* environment variables, then what was given explicitly.

A later source wins, value by value. Secrets have no place here: keys of providers come from the environment alone.
This module reads values; it opens no store and builds no model.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from .core.budgets import Budget
from .core.errors import ConfigurationError
from .runtime.services import Limits

if TYPE_CHECKING:
    from .policy import Policy
    from .tools.mcp import MCPServer

FILE = "podium.toml"
STORE = ".podium/podium.db"
_MEMORY = frozenset({":memory:", "memory:", "memory://"})
_SQLITE = "sqlite:///"
_TEXTS = ("store", "model", "base_url")
_TABLES = ("budgets", "prices", "rates")
_MOST = 1 << 20
"""Bytes of a configuration file that are read."""
_LIMIT = re.compile(r"\$?\s*(\d[\d_]*(?:\.\d+)?|\.\d+)\s*([a-z]*)")
_UNITS = {"": "usd", "usd": "usd", "token": "tokens", "tokens": "tokens", "call": "calls", "calls": "calls"}
_SECONDS = {"s": 1, "min": 60, "h": 3600}
_WRITE = "write US dollars (0.50), 20000tokens, 10calls or 60s (min, h), and several with commas: 0.50,10calls"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """How an app is put together: `Podium(**config.described)`."""

    store: str = STORE
    """A path, `sqlite:///path` or `:memory:`. A relative path in a file is relative to that file's folder."""
    model: str | None = None
    """The model of agents that name none."""
    base_url: str | None = None
    """The address of a server that speaks Chat Completions."""
    limits: Limits = Limits()
    budgets: dict[str, Any] = {}
    """Budgets by scope, as `[budgets]` holds them; PODIUM_BUDGET is the one of `run`."""
    prices: dict[str, Any] = {}
    """Prices by model name, US dollars per million tokens, as `[prices]` holds them."""
    rates: dict[str, Any] = {}
    """Limits per minute by model name, as `[rates]` holds them."""
    policy: Policy | None = None
    """Who may call what, as `[policy]` holds it, or the file that `policy` (or PODIUM_POLICY) names."""
    policy_file: str = ""
    """The file the policy was read from."""
    mcp: tuple[MCPServer, ...] = ()
    """The MCP servers of the app, as `[mcp.servers.NAME]` holds them. None is reached before it is needed."""
    file: str = ""
    """The file that was read; empty when there was none."""

    @property
    def described(self) -> dict[str, Any]:
        """The arguments of `Podium` that it amounts to."""
        names = ("model", "base_url", "limits", "budgets", "prices", "rates", "policy", "mcp")
        return {"url": self.store, **{name: getattr(self, name) for name in names}}

    @property
    def store_file(self) -> Path | None:
        """The store's file; None for a store that is not a file."""
        if self.store in _MEMORY:
            return None
        path = self.store.removeprefix(_SQLITE)
        return None if "://" in path else Path(path)


def budget_of(text: str | Sequence[str], what: str) -> Budget:
    """A budget for one run as it is written on a command line: `0.50`, `20000tokens`, `10calls`, `90s`, `5min`, or
    several of them with commas, or as several texts.

    Raises ConfigurationError that names `what` (`--budget`).
    """
    limits: dict[str, Any] = {}
    for word in ",".join([text] if isinstance(text, str) else text).split(","):
        found = _LIMIT.fullmatch(word.strip().lower())
        unit = "" if found is None else found[2]
        name = "seconds" if unit in _SECONDS else _UNITS.get(unit)
        if found is None or name is None or (name in ("tokens", "calls") and "." in found[1]):
            raise ConfigurationError(f"{what}: {word.strip()!r} is no limit: {_WRITE}")
        if name in limits:
            raise ConfigurationError(f"{what} limits {name} twice: give each limit once")
        number = found[1].replace("_", "")
        limits[name] = number if name == "usd" else float(number) * _SECONDS[unit] if name == "seconds" else int(number)
    try:
        return Budget(**limits)
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}: {error}") from None


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    store: str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """The settings in force; arguments that are not None win over everything else.

    `path` names the file, which must then exist; without it PODIUM_CONFIG does, or `podium.toml` in the working folder
    is read if it is there. `environ` is the process's own by default. Raises ConfigurationError: one line that names
    the source and what is wrong in it.
    """
    environ = os.environ if environ is None else environ
    named = path if path is not None else environ.get("PODIUM_CONFIG") or None
    file = Path(FILE if named is None else named)
    values: dict[str, Any] = {}
    limits: dict[str, float | int] = {}
    found = file.is_file()
    if found:
        _from_file(file, values, limits)
    elif named is not None:
        raise ConfigurationError(f"there is no configuration file {file}: `podium init` writes one")
    _from_environment(environ, values, limits)
    given = {"store": store, "model": model, "base_url": base_url}
    values.update({name: value for name, value in given.items() if value is not None})
    if values.get("model") == "offline" and base_url is None:
        values.pop("base_url", None)  # The address belonged to the model that another source took the place of.
    return Config(**values, limits=_limits(limits), file=str(file) if found else "")


def _from_file(file: Path, values: dict[str, Any], limits: dict[str, float | int]) -> None:
    try:
        with file.open("rb") as opened:
            text = opened.read(_MOST + 1)
        if len(text) > _MOST:
            raise ConfigurationError(f"{file} is larger than {_MOST >> 20} MiB: it cannot be a configuration")
        table = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}") from error
    unknown = sorted(set(table) - {*_TEXTS, *_TABLES, "limits", "policy", "mcp"})
    if unknown:
        raise ConfigurationError(
            f"{file}: unknown {_listed(unknown)}; known are {', '.join(_TEXTS)}, [limits], [budgets], [prices], "
            "[rates], [policy], [mcp.servers.NAME]"
        )
    for name in _TEXTS:
        if name in table:
            if not isinstance(table[name], str) or not table[name]:
                raise ConfigurationError(f"{file}: {name} must be a text, not {table[name]!r}")
            values[name] = table[name]
    if "store" in values:
        values["store"] = _beside(file, values["store"])
    _tables(file, table, values)
    if "policy" in table:
        _policy(file, table["policy"], values)
    if "mcp" in table:
        values["mcp"] = _servers(file, table["mcp"])
    section: object = table.get("limits", {})
    if not isinstance(section, dict):
        raise ConfigurationError(f"{file}: limits is a table: write [limits] and its values below it")
    entries = cast("dict[str, object]", section)
    unknown = sorted(set(entries) - set(Limits.__struct_fields__))
    if unknown:
        raise ConfigurationError(
            f"{file}: unknown {_listed(unknown)} in [limits]; known are {', '.join(Limits.__struct_fields__)}"
        )
    for name, value in entries.items():
        limits[name] = _limit(f"{file}: limits.{name}", name, value)


def _tables(file: Path, table: dict[str, Any], values: dict[str, Any]) -> None:
    for name in _TABLES:
        if name in table:
            if not isinstance(table[name], dict):
                raise ConfigurationError(f"{file}: {name} is a table: write [{name}] and its values below it")
            for key, value in table[name].items():
                try:
                    _check(name, key, value)
                except ConfigurationError as error:
                    raise ConfigurationError(f"{file}: [{name}]: {error}") from None
            values[name] = table[name]


def _policy(file: Path, given: object, values: dict[str, Any]) -> None:
    """The policy of a table, or of the file that a text names, relative to the folder of this one."""
    from .policy import Policy

    if isinstance(given, str):
        place = Path(given).expanduser()
        path = str(place if place.is_absolute() else file.parent / place)
        values["policy"], values["policy_file"] = Policy.load(path), path
    elif isinstance(given, dict):
        table = cast("dict[str, Any]", given)
        values["policy"], values["policy_file"] = Policy.parse(table, f"{file}: policy"), str(file)
    else:
        raise ConfigurationError(f'{file}: policy is a table, or the name of a file: policy = "policy.toml"')


def _servers(file: Path, given: object) -> tuple[MCPServer, ...]:
    """The MCP servers of `[mcp]`, in the order of the file. Relative paths are relative to its folder."""
    from .policy.file import section
    from .tools.mcp import MCPServer

    entries = section(given, f"{file}: mcp")
    unknown = sorted(set(entries) - {"servers"})
    if unknown:
        raise ConfigurationError(
            f"{file}: unknown {_listed(unknown)} in [mcp]; write [mcp.servers.{unknown[0]}] for a server of that name"
        )
    servers = section(entries.get("servers", {}), f"{file}: mcp.servers")
    return tuple(
        [MCPServer.parse(name, value, f"{file}: mcp.servers.{name}", file.parent) for name, value in servers.items()]
    )


def _check(table: str, key: str, value: object) -> None:
    """That an entry can be used, so that its error can name the file. Raises ConfigurationError that names the key."""
    if table == "budgets":
        from .policy import Budgets

        Budgets({key: value})
    elif table == "prices":
        from .core.prices import Price

        Price.parse(value, f"the price of {key!r}")
        if ":" not in key and (meant := meant_by(key)):
            raise ConfigurationError(f'{key!r} matches no model of a provider: write "{meant}"')
    else:
        from .models.rates import Rates

        Rates.parse({key: value})


def meant_by(model: str) -> str:
    """The name of a provider's model that was written without the provider; models of one's own may have any name."""
    from .models import prices

    names = [f"{provider}:{model}" for provider in ("openai", "anthropic", "gemini")]
    return next((name for name in names if prices.find(name) is not None), "")


def _from_environment(environ: Mapping[str, str], values: dict[str, Any], limits: dict[str, float | int]) -> None:
    for name in _TEXTS:
        value = environ.get(f"PODIUM_{name.upper()}")
        if value:
            values[name] = value
    policy = environ.get("PODIUM_POLICY")
    if policy:
        from .policy import Policy

        values["policy"], values["policy_file"] = Policy.load(policy), policy
    budget = environ.get("PODIUM_BUDGET")
    if budget:
        values["budgets"] = {**values.get("budgets", {}), "run": budget_of(budget, "PODIUM_BUDGET")}
    for name in Limits.__struct_fields__:
        variable = f"PODIUM_LIMITS_{name.upper()}"
        value = environ.get(variable)
        if value:
            try:
                number = float(value)
            except ValueError:
                raise ConfigurationError(f"{variable} must be a number, not {value!r}") from None
            limits[name] = _limit(variable, name, number)


def _limits(values: dict[str, float | int]) -> Limits:
    # Made by `convert`, which knows which of them count whole things.
    return msgspec.convert(values, Limits)


def _limit(where: str, name: str, value: object) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{where} must be a number above 0, not {value!r}")
    return int(value) if isinstance(getattr(Limits(), name), int) else float(value)


def _beside(file: Path, store: str) -> str:
    """A relative path in a file of another folder, as seen from the working folder."""
    if store in _MEMORY or ("://" in store and not store.startswith(_SQLITE)):
        return store
    path = Path(store.removeprefix(_SQLITE)).expanduser()
    return str(path if path.is_absolute() else file.parent / path)


def _listed(names: list[str]) -> str:
    return f"key{'' if len(names) == 1 else 's'} {', '.join(repr(name) for name in names)}"
