"""A tool whose arguments somebody else described: a JSON schema and an async callable.

MCP servers and OpenAPI documents become tools through it. It knows neither: it checks what goes in and what comes out
against the schemas (`podium.schema.foreign`) and bounds both. Like `FunctionTool` it retries nothing and enforces no
timeout or permission; whoever performs the step does.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal, cast

import msgspec

from podium.core.errors import ConfigurationError, ToolValidationError
from podium.core.labels import TRUSTED, Label, untrusted
from podium.core.messages import ToolSpec
from podium.ports import Effect, Reach, ToolContext
from podium.schema import dump
from podium.schema.foreign import VALUE_DEPTH, Validator, deeper_than, validator
from podium.schema.plain import find_unfit

from .options import Approval, Options, check_options, price, valid_name, words_of

MAX_ARGUMENTS: Final = 1024 * 1024
"""Most bytes of a call's arguments, as JSON."""
MAX_RESULT: Final = 8 * 1024 * 1024
"""Most bytes of a result, as JSON."""
DESCRIPTION_CHARACTERS: Final = 4096
"""Longest description; the rest is cut off, since every request to a model repeats it."""


class DescribedTool:
    """The `Tool` port over a JSON schema and `call(args, ctx)`.

    Args:
        name: what models call it (letters, digits, `_`, `-`; at most 64).
        description: what it does, for the model; cut to DESCRIPTION_CHARACTERS.
        parameters: the JSON schema of the arguments, an object's (2020-12, or draft 7 when `$schema` says so).
        returns: the JSON schema of the result. None checks no more than that it is JSON.
        call: does the work, with checked arguments; what it returns becomes plain JSON, what it raises passes.
        effect: how a call may be repeated; see `tool`. Whoever describes a tool says so, hence `write` here too.
        timeout, retries, approval, cost, roles, tags, capabilities, version, reach, network: as for `tool`.
        label: the label of its results: a `Label`, or `"trusted"`. Untrusted text from `tool:NAME`.
        cache: seconds a result may be given again for equal arguments; never for a `write`.
        declared: whether the effect was declared, rather than assumed.
        deterministic: whether equal arguments always give equal results.
        reconcile: called with `(key, args)` when the outcome of a call is unknown; returns the result or raises
            NotDone. Async or not.

    Raises ConfigurationError for a bad name, option or schema; MissingExtra when `jsonschema` is not installed.
    """

    def __init__(
        self,
        name: str,
        *,
        description: str,
        parameters: dict[str, Any],
        returns: dict[str, Any] | None = None,
        call: Callable[[dict[str, Any], ToolContext], Awaitable[Any]],
        effect: Effect = "write",
        reach: Reach = "external",
        version: str = "1",
        timeout: float | None = None,
        retries: int = 2,
        network: bool = True,
        approval: Approval = "never",
        cost: str = "0",
        roles: str | Sequence[str] = (),
        label: Label | Literal["trusted"] | None = None,
        tags: str | Sequence[str] = (),
        capabilities: str | Sequence[str] = (),
        cache: float | None = None,
        declared: bool = True,
        deterministic: bool = False,
        reconcile: Callable[[str, dict[str, Any]], Any] | None = None,
    ) -> None:
        self.name = valid_name(name)
        check_options(
            name,
            Options(
                effect=effect,
                reach=reach,
                timeout=timeout,
                retries=retries,
                approval=approval,
                output_label=label,
                reconcile=reconcile,
            ),
        )
        self.description = _cut(description.strip())
        self.version = version
        self.effect: Effect = effect
        self.declared = declared
        self.reach: Reach = reach
        self.deterministic = deterministic
        self.blocking = False
        self.timeout = timeout
        self.retries = retries
        self.network = network
        self.approval: Approval = approval
        self.cost = price(name, cost)
        self.roles = words_of(self.name, "roles", roles)
        self.label = untrusted(f"tool:{name}") if label is None else TRUSTED if label == "trusted" else label
        self.reconcile: Callable[..., Any] | None = reconcile
        self.tags = words_of(self.name, "tags", tags)
        self.capabilities = words_of(self.name, "capabilities", capabilities)
        self.cache = _lifetime(name, effect, cache)
        self._call = call
        self._arguments = validator(_object_schema(name, parameters), what=name)
        self._result = None if returns is None else validator(returns, what=f"{name}: its result", formats=False)
        self._spec = ToolSpec(self.name, self.description, cast("dict[str, Any]", self._arguments.schema), returns)

    def __repr__(self) -> str:
        return f"<tool {self.name} effect={self.effect}>"

    @property
    def spec(self) -> ToolSpec:
        """The tool as a model sees it."""
        return self._spec

    @property
    def arguments(self) -> Validator:
        """What checks the arguments."""
        return self._arguments

    def resolve(self, args: dict[str, Any]) -> dict[str, Any]:
        """`args` checked against the schema and completed with the defaults of its own properties.

        Nothing is coerced: the schema says what the server takes. Raises ToolValidationError for arguments that do not
        fit, are larger than MAX_ARGUMENTS, or hold what JSON or the journal cannot.
        """
        _fit(self.name, args)
        self._arguments.check(args)
        missing = {name: default for name, default in self._defaults() if name not in args}
        if not missing:
            return args
        completed = {**args, **missing}
        # A default is the schema's word, not the caller's: one that does not fit is left out, not complained about.
        return completed if self._arguments.fits(completed) else args

    async def invoke(self, args: dict[str, Any], ctx: ToolContext) -> Any:
        """Run with resolved arguments; the value is plain JSON.

        Raises ToolValidationError, with `data["where"] == "result"`, when the result is not JSON, too large, or does
        not fit `returns`: the call has happened then. Whatever the callable raises passes.
        """
        # A copy: the next attempt gets what this one got, and what it says is searched for the secrets that it got.
        return self._checked(await self._call(_copied(args), ctx))

    async def settle(self, key: str, args: dict[str, Any]) -> Any:
        """Ask `reconcile` what came of a call: its result as plain JSON, or it raises NotDone.

        Raises ConfigurationError when the tool has none.
        """
        if self.reconcile is None:
            raise ConfigurationError(f"{self.name}: has no reconcile=: give a function that finds out what a call did")
        value = self.reconcile(key, args)
        return self._checked(await value if inspect.isawaitable(value) else value)

    def _defaults(self) -> list[tuple[str, Any]]:
        properties = self._spec.parameters.get("properties", {})
        return [
            (name, item["default"]) for name, item in properties.items() if type(item) is dict and "default" in item
        ]

    def _checked(self, value: Any) -> Any:
        try:
            plain = dump(value, what=f"{self.name}: its result")
        except ToolValidationError as error:
            raise ToolValidationError(str(error), where="result") from None
        size = len(msgspec.json.encode(plain))
        if size > MAX_RESULT:
            raise ToolValidationError(
                f"{self.name}: its result has {size} bytes, more than {MAX_RESULT}: ask for less", where="result"
            )
        if self._result is not None:
            self._result.check(plain, where="result")
        return plain


def _fit(name: str, args: object) -> None:
    """Raise ToolValidationError unless `args` is an object that JSON and the journal can hold, within bounds."""
    if not isinstance(args, dict):
        raise ToolValidationError(f"{name}: the arguments must be an object, not {type(args).__name__}")
    arguments = cast("dict[str, Any]", args)
    if deeper_than(arguments, VALUE_DEPTH):
        raise ToolValidationError(f"{name}: the arguments are nested deeper than {VALUE_DEPTH} levels")
    unfit = find_unfit(arguments)
    if unfit is not None:
        raise ToolValidationError(f"{name}: {unfit[0].removeprefix('.') or 'a name'}: {unfit[1]}")
    try:
        size = len(msgspec.json.encode(arguments))
    except (TypeError, ValueError) as error:
        raise ToolValidationError(f"{name}: the arguments are not JSON: {str(error)[:200]}") from None
    if size > MAX_ARGUMENTS:
        raise ToolValidationError(f"{name}: the arguments have {size} bytes, more than {MAX_ARGUMENTS}: give less")


def _object_schema(name: str, parameters: object) -> dict[str, Any]:
    if not isinstance(parameters, dict):
        raise ConfigurationError(f"{name}: parameters= is a JSON schema of an object, not {type(parameters).__name__}")
    schema = cast("dict[str, Any]", parameters)
    if schema.get("type", "object") != "object":
        raise ConfigurationError(f"{name}: the arguments of a tool are an object: its schema says {schema['type']!r}")
    return schema if "type" in schema else {"type": "object", **schema}


def _lifetime(name: str, effect: Effect, cache: float | None) -> float | None:
    if cache is None:
        return None
    if effect == "write":
        raise ConfigurationError(f"{name}: a write is never cached: declare effect='read', or leave cache= out")
    if isinstance(cache, bool) or not 0 < cache < float("inf"):
        raise ConfigurationError(f"{name}: cache={cache!r}: give seconds above 0, or leave it out")
    return float(cache)


def _copied(value: Any) -> Any:
    """Plain JSON again, sharing nothing that can be changed."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_copied(item) for item in cast("list[Any]", value)]
    return value


def _cut(text: str) -> str:
    return text if len(text) <= DESCRIPTION_CHARACTERS else text[: DESCRIPTION_CHARACTERS - 1] + "…"
