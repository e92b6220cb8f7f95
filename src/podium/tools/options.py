"""What `@tool` and other makers of tools were told, and whether it can be meant.

Nothing here knows functions, schemas or calls: options are values, and a wrong one is an error that says what to write.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import msgspec

from podium.core.errors import ConfigurationError
from podium.core.labels import Label
from podium.ports import Effect, Reach
from podium.ports.selectors import nearest

if TYPE_CHECKING:
    from .sandbox import Sandbox

Approval: TypeAlias = Literal["always", "never"] | Callable[[dict[str, Any]], bool]

CACHED: Final = 3600.0
"""Seconds for which `cache=True` keeps a result."""
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
EFFECTS: Final = ("read", "idempotent", "write")
"""How a call may be repeated."""
_REACHES: Final = ("none", "local_undoable", "local", "external", "destructive", "spend")
_MEANT: Final = {
    "requires_network": "network=True",
    "network_access": "network=True",
    "requires_approval": 'approval="always"',
    "needs_approval": 'approval="always"',
    "permissions": "roles=",
    "idempotent": 'effect="idempotent"',
    "read_only": 'effect="read"',
    "max_retries": "retries=",
    "timeout_seconds": "timeout=",
    "ttl": "cache=SECONDS",
    "args_schema": "input_model=",
    "name_override": "name=",
    "description_override": "description=",
}
"""How others call an option, and what it is here."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What `@tool` was told. See `tool` for the meaning of each."""

    name: str | None = None
    description: str | None = None
    version: str = "1"
    effect: Effect | None = None
    reach: Reach = "external"
    deterministic: bool = False
    timeout: float | None = None
    retries: int = 2
    network: bool = False
    sandbox: bool | Sandbox | None = None
    approval: Any = "never"
    cost: str | float | decimal.Decimal = "0"
    roles: str | Sequence[str] = ()
    output_label: Label | Literal["trusted"] | None = None
    reconcile: Callable[..., Any] | None = None
    cache: bool | float | None = None
    tags: str | Sequence[str] = ()
    capabilities: str | Sequence[str] = ()
    input_model: Any = None


def read_options(given: dict[str, Any]) -> Options:
    """What `@tool` was told. Raises ConfigurationError for an option that it does not have."""
    known = Options.__struct_fields__
    for name in given:
        if name not in known:
            meant = f": write {_MEANT[name]}" if name in _MEANT else nearest(name, known)
            raise ConfigurationError(f"@tool has no option {name!r}{meant}")
    return Options(**given)


def valid_name(name: str) -> str:
    """`name`, or ConfigurationError when no model could call a tool so."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name[:80]!r} cannot be a tool's name: give name= with 1 to 64 letters, digits, '_' or '-'"
        )
    return name


def check_options(name: str, options: Options) -> None:
    """Raise ConfigurationError for an option that cannot be meant."""
    if options.effect is not None and options.effect not in EFFECTS:
        raise ConfigurationError(f"{name}: effect={options.effect!r}: say one of {', '.join(EFFECTS)}")
    if options.reach not in _REACHES:
        raise ConfigurationError(f"{name}: reach={options.reach!r}: say one of {', '.join(_REACHES)}")
    if options.approval not in ("always", "never") and not callable(options.approval):
        raise ConfigurationError(f"{name}: approval= is 'always', 'never' or a function of the arguments")
    if options.timeout is not None and not (_number(options.timeout) and 0 < options.timeout < float("inf")):
        raise ConfigurationError(f"{name}: timeout={options.timeout!r}: give seconds above 0, or leave it out")
    if not _number(options.retries, int) or options.retries < 0:
        raise ConfigurationError(f"{name}: retries={options.retries!r}: give 0 or more")
    label = cast("object", options.output_label)
    if label not in (None, "trusted") and not isinstance(label, Label):
        raise ConfigurationError(f"{name}: output_label= is a podium.core.labels.Label or 'trusted'")
    box = options.sandbox
    if box not in (None, True, False) and not hasattr(box, "call"):
        raise ConfigurationError(f"{name}: sandbox= is True or a Sandbox, not {box!r}")
    if options.reconcile is not None and not callable(options.reconcile):
        raise ConfigurationError(f"{name}: reconcile= is a function of (key, args)")


def words_of(name: str, option: str, given: str | Sequence[str]) -> tuple[str, ...]:
    """The words of an option that takes one or several. Raises ConfigurationError for anything else."""
    value = cast("object", (given,) if isinstance(given, str) else given)
    if not isinstance(value, Iterable):
        raise ConfigurationError(f"{name}: {option}={given!r}: give a word, or a list of them")
    found = tuple(cast("Iterable[object]", value))
    if not all(isinstance(word, str) for word in found):
        raise ConfigurationError(f"{name}: {option}={given!r}: give a word, or a list of them")
    return cast("tuple[str, ...]", found)


def lifetime(name: str, options: Options) -> float | None:
    """For how many seconds results are kept. Raises ConfigurationError where a kept result could be a wrong one."""
    cache = options.cache
    if cache is None or cache is False:
        return None
    if (options.effect or "write") == "write":
        raise ConfigurationError(f"{name}: a write is never cached: declare effect='read', or leave cache= out")
    if not options.deterministic and cache is True:
        raise ConfigurationError(
            f"{name}: cache=True keeps results for {CACHED:g} s, which only suits deterministic=True: declare it, "
            "or give the seconds a result stays right"
        )
    seconds = CACHED if cache is True else float(cache)
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"{name}: cache={cache!r}: give seconds above 0, True, or leave it out")
    return seconds


def price(name: str, cost: str | float | decimal.Decimal) -> str:
    """US dollars as a decimal string. Raises ConfigurationError for what is no amount."""
    try:
        amount = decimal.Decimal(str(cost))
    except decimal.InvalidOperation:
        amount = decimal.Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise ConfigurationError(f"{name}: cost={cost!r}: give US dollars per call, such as '0.002'")
    return format(amount, "f")


def _number(value: object, kind: type | tuple[type, ...] = (int, float)) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
