"""`@tool`: a typed function becomes a tool.

`FunctionTool` is the `Tool` port over a function: its schema from the types (`podium.schema`), its checks before and
after the call, synchronous functions in worker threads. It classifies no failure, retries nothing and enforces no
timeout or permission: whoever performs the step does (the runtime, behind its gate).
"""

from __future__ import annotations

import decimal
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, ParamSpec, TypeVar, cast, overload

from podium.core.errors import ConfigurationError, InvalidOutput, ToolError, ToolValidationError
from podium.core.labels import TRUSTED, Label, untrusted
from podium.core.messages import ToolSpec
from podium.ports import Effect, Reach, ToolContext
from podium.schema import ArgumentSchema, OutputType, dump, local_names, return_type, signature_schema, type_name

from .options import Approval, Options, check_options, lifetime, price, read_options, valid_name, words_of

if TYPE_CHECKING:
    from .sandbox import Sandbox

P = ParamSpec("P")
R = TypeVar("R")
_EXACT: Final = frozenset({str, int, float, bool})
_hinted: Final[set[str]] = set()
"""Names of tools whose missing effect was pointed out: once per process is help, more is noise."""


class FunctionTool(Generic[P, R]):
    """A function as a tool. Still callable as the function it was, for unit tests and plain use."""

    name: str
    description: str
    version: str
    effect: Effect
    declared: bool
    reach: Reach
    deterministic: bool
    blocking: bool
    timeout: float | None
    retries: int
    network: bool
    approval: Approval
    cost: str
    roles: tuple[str, ...]
    label: Label
    reconcile: Callable[..., Any] | None
    tags: tuple[str, ...]
    capabilities: tuple[str, ...]
    cache: float | None
    sandbox: bool | Sandbox
    __wrapped__: Callable[P, R]
    __name__: str

    def __init__(self, fn: Callable[P, R], options: Options, *, local: dict[str, Any] | None = None) -> None:
        source = _function_of(fn)
        self.name = valid_name(options.name or getattr(source, "__name__", type(source).__name__))
        self._function: Callable[..., Any] = fn
        self._source, self._local, self._model = source, local, options.input_model
        self._instance: object = None
        self._method = False
        self._async = _is_async(fn)
        self.blocking = not self._async
        _refuse_generators(self.name, source)
        self._arguments = self._schema_of(())
        self._returns: OutputType[Any] | None = None
        self._ready = self._plain = False
        self._contexts: tuple[str, ...] = ()
        self._exact: type | None = None
        self._spec: ToolSpec | None = None
        self._apply(options)
        functools.update_wrapper(cast("Any", self), source, updated=())
        self.__wrapped__ = fn

    def _apply(self, options: Options) -> None:
        check_options(self.name, options)
        self.description = self._arguments.description if options.description is None else options.description.strip()
        self.version = str(options.version)
        self.declared = options.effect is not None
        self.effect = options.effect or "write"
        self.reach = options.reach
        self.deterministic = options.deterministic
        self.timeout = options.timeout
        self.retries = options.retries
        self.network = options.network
        self.approval = options.approval
        self.cost = price(self.name, options.cost)
        self.roles = words_of(self.name, "roles", options.roles)
        label = options.output_label
        self.label = untrusted(f"tool:{self.name}") if label is None else TRUSTED if label == "trusted" else label
        self.reconcile = options.reconcile
        self.tags = words_of(self.name, "tags", options.tags)
        self.capabilities = words_of(self.name, "capabilities", options.capabilities)
        self.cache = lifetime(self.name, options)
        self.sandbox = options.sandbox or False
        if self.sandbox:
            self.blocking = False  # it runs in a process of its own, which can be killed

    def _schema_of(self, skip: Sequence[str]) -> ArgumentSchema:
        return signature_schema(
            self._function,
            name=self.name,
            skip=("ctx", *skip),
            skip_types=(ToolContext,),
            local=self._local,
            model=self._model,
        )

    # ------------------------------------------------------------------------------------------ as a function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself: no checks, no thread, no journal."""
        if self._method and self._instance is not None:
            return cast("Any", self._function)(self._instance, *args, **kwargs)
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name}{inspect.signature(self._function)} effect={self.effect}>"

    def __set_name__(self, owner: type, name: str) -> None:
        # Only a function written in the class is a method; a tool merely kept in a class attribute is not.
        qualified: str = getattr(self._source, "__qualname__", "")
        if qualified != f"{owner.__qualname__}.{getattr(self._source, '__name__', name)}":
            return
        first = next(iter(inspect.signature(self._function).parameters), None)
        if first is None:
            raise ConfigurationError(f"{self.name}: a method needs `self`: add it, or put @staticmethod above @tool")
        self._method = True
        self._arguments = self._schema_of((first,))

    def __get__(self, instance: object, owner: type | None = None) -> FunctionTool[..., R]:
        if instance is None or not self._method:
            return self
        if not self._ready:
            self._compile()  # once, for all instances
        bound = cast("FunctionTool[..., R]", object.__new__(FunctionTool))
        bound.__dict__.update(self.__dict__)
        bound._instance = instance
        return bound

    # ---------------------------------------------------------------------------------------------- as a tool

    @property
    def spec(self) -> ToolSpec:
        """The tool as a model sees it. Raises ConfigurationError when a type cannot be described."""
        if self._spec is None:
            self._compile()
            returns = self._returns
            self._spec = ToolSpec(self.name, self.description, self._arguments.json, returns.json if returns else None)
        return self._spec

    def resolve(self, args: dict[str, Any]) -> dict[str, Any]:
        """`args` checked, coerced and completed with defaults, as plain JSON. Raises ToolValidationError."""
        return self._arguments.resolve(args)

    async def invoke(self, args: dict[str, Any], ctx: ToolContext) -> Any:
        """Run with resolved arguments (what `resolve` gave); the value is plain JSON.

        A synchronous function runs in a worker thread of the loop's default executor, with the caller's context
        variables; cancelling does not interrupt it, it should look at `ctx.cancelled`. Whatever the function raises
        passes. Raises ToolValidationError, with `data["where"] == "result"`, when the result does not fit the declared
        return type or is not JSON: the function has run then.
        """
        if not self._ready:
            self._compile()
        if not self.declared and self.name not in _hinted:
            self._hint()
        if self.sandbox:
            return self._checked(await self._in_sandbox(args), plain=True)
        if not self._plain:
            args = self._arguments.load(args)
        if self._contexts:
            args = {**args, **dict.fromkeys(self._contexts, ctx)}
        function = self._function
        if self._async:
            value = await (function(self._instance, **args) if self._instance is not None else function(**args))
        else:
            value = await self._in_thread(args)
        if type(value) is self._exact:
            return dump(value)
        return self._checked(value)

    def call_plain(self, args: dict[str, Any]) -> Any:
        """Call the function with plain JSON for plain JSON: what a sandbox does inside. Awaitable for an async one."""
        if not self._ready:
            self._compile()
        value = self._function(**(args if self._plain else self._arguments.load(args)))
        return _awaited(value) if inspect.isawaitable(value) else dump(value, what=f"{self.name}: what it returned")

    async def settle(self, key: str, args: dict[str, Any]) -> Any:
        """Ask `reconcile` what came of a call: its result as plain JSON, or it raises NotDone.

        It is called with `(key, args)`, or with those of the two that its signature takes. Raises ConfigurationError
        when the tool has none.
        """
        ask = self.reconcile
        if ask is None:
            raise ConfigurationError(f"{self.name}: has no reconcile=: give a function that finds out what a call did")
        if not self._ready:
            self._compile()
        given = _reconcile_arguments(ask, key, args, self._instance)
        if _is_async(ask):
            value = await ask(*given)
        else:
            value = await _run_in_thread(ask, given, {})
        return self._checked(value)

    # ----------------------------------------------------------------------------------------------- inside

    def _compile(self) -> None:
        names: list[str] = list(self._arguments.skipped)
        if "ctx" in inspect.signature(self._function).parameters:
            names.append("ctx")
        self._contexts = tuple(names)
        self._plain = self._arguments.plain
        self._returns = return_type(self._function, name=self.name, local=self._local)
        if self._returns is not None:
            self._exact = self._returns.type if self._returns.type in _EXACT else None
            _ = self._returns.json  # an unusable type is said now, not after the first effect
        self._ready = True

    def _hint(self) -> None:
        import logging  # here, so that defining a tool does not load it

        _hinted.add(self.name)
        logging.getLogger("podium").warning(
            'tool "%s" does not declare its effect, so it is a "write" and never repeated by itself: '
            'say @tool(effect="read"), "idempotent" or "write"',
            self.name,
        )

    async def _in_thread(self, args: dict[str, Any]) -> Any:
        given = () if self._instance is None else (self._instance,)
        return await _run_in_thread(self._function, given, args)

    async def _in_sandbox(self, args: dict[str, Any]) -> Any:
        """Run the function in a sandbox, which imports it by name and gives it plain JSON."""
        from .sandbox import Sandbox
        from .sandbox.address import address

        if self.sandbox is True:
            # Network is a permission of the tool: the sandbox has none unless the tool says that it needs it.
            timeout = Sandbox.TIMEOUT if self.timeout is None else self.timeout
            self.sandbox = Sandbox(network=self.network, timeout=timeout)
        box = cast("Sandbox", self.sandbox)
        where = address(self.name, self._source, method=self._method, injected=self._contexts, typed=not self._plain)
        result = await box.call(where, args)
        if not result.success:
            raise ToolError(f"{self.name} failed in its sandbox: {result.error}", limit=result.limit)
        return result.value

    def _checked(self, value: Any, *, plain: bool = False) -> Any:
        """What it returned, as plain JSON; `plain` where it is JSON already, in which a date is text."""
        returns = self._returns
        try:
            if returns is None:
                return dump(value, what=f"{self.name}: what it returned")
            return returns.dump(returns.load(value, lax=plain))
        except InvalidOutput as error:
            declared = type_name(cast("OutputType[Any]", returns).type)
            raise ToolValidationError(
                f"{self.name} returned {type(value).__name__} where {declared} was declared: {error}", where="result"
            ) from None
        except ToolValidationError as error:
            raise ToolValidationError(str(error), where="result") from None


async def _awaited(value: Any) -> Any:
    return dump(await value)


async def _run_in_thread(function: Callable[..., Any], given: Sequence[Any], args: dict[str, Any]) -> Any:
    import asyncio  # loaded by whoever runs this; defining a tool does not need it

    value = await asyncio.to_thread(_guarded, function, given, args)
    # A plain function may still give an awaitable back (a wrapper around an async one).
    return await value if inspect.isawaitable(value) else value


def _guarded(function: Callable[..., Any], given: Sequence[Any], args: dict[str, Any]) -> Any:
    try:
        return function(*given, **args)
    except StopIteration as error:
        # A future cannot hold StopIteration: whoever awaited it would wait for ever.
        raise RuntimeError(f"the tool raised StopIteration({error.value!r})") from error


def _function_of(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function under `functools.partial`; refuses what cannot be a tool."""
    if isinstance(fn, functools.partial):
        return cast("Callable[..., Any]", fn.func)
    if isinstance(fn, classmethod):
        raise ConfigurationError(
            "@tool cannot wrap a classmethod: make it a plain function, or a method of an instance"
        )
    if isinstance(fn, FunctionTool):
        raise ConfigurationError(f"{fn.name} is a tool already: give @tool its function ({fn.name}.__wrapped__)")
    if not callable(fn) or isinstance(fn, type):
        raise ConfigurationError(f"@tool needs a function, got {type_name(fn)}: write `@tool` or `@tool(name=…)`")
    return fn


def _is_async(fn: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def _refuse_generators(name: str, source: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(source) or inspect.isasyncgenfunction(source):
        raise ConfigurationError(f"{name}: a generator cannot be a tool: collect what it yields and return a list")


def _reconcile_arguments(ask: Callable[..., Any], key: str, args: dict[str, Any], instance: object) -> tuple[Any, ...]:
    """What to call `reconcile` with: by the names `key` and `args` where it uses them, else in that order."""
    parameters = list(inspect.signature(ask).parameters.values())
    bound: tuple[Any, ...] = ()
    if instance is not None and parameters and parameters[0].name == "self":
        bound, parameters = (instance,), parameters[1:]
    if any(item.kind is item.VAR_POSITIONAL for item in parameters):
        return (*bound, key, args)
    names = [item.name for item in parameters if item.kind in {item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD}]
    known = {"key": key, "args": args}
    if set(names) <= known.keys():
        return (*bound, *(known[name] for name in names))
    return (*bound, *(key, args)[: len(names)])


@overload
def tool(fn: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = ...,
    description: str | None = ...,
    version: str = ...,
    effect: Effect | None = ...,
    reach: Reach = ...,
    deterministic: bool = ...,
    timeout: float | None = ...,
    retries: int = ...,
    network: bool = ...,
    sandbox: bool | Sandbox | None = ...,
    approval: Approval = ...,
    cost: str | float | decimal.Decimal = ...,
    roles: str | Sequence[str] = ...,
    output_label: Label | Literal["trusted"] | None = ...,
    reconcile: Callable[..., Any] | None = ...,
    cache: bool | float | None = ...,
    tags: str | Sequence[str] = ...,
    capabilities: str | Sequence[str] = ...,
    input_model: Any = ...,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a tool of a typed function: `@tool`, `@tool(effect="read")`, or `tool(effect="read")(function)`.

    Args:
        fn: the function, async or not. A parameter named `ctx` (or annotated `ToolContext`) is injected; all others
            are what a model may give, described by their types and the docstring.
        name: what models call it (letters, digits, `_`, `-`; at most 64). The function's name.
        description: what it does, for the model. The docstring's first paragraph.
        version: recorded with every call; raise it when the tool's meaning changes. "1".
        effect: how a call may be repeated. `read`: freely; `idempotent`: with the same `ctx.idempotency_key`; `write`:
            never. Undeclared is `write`, with a hint in the log.
        reach: what harm it can do: `none, local_undoable, local, external, destructive, spend`. `external`.
        deterministic: whether equal arguments always give equal results.
        timeout: seconds one attempt may take. The runtime's default.
        retries: further attempts after a transient failure; never of a `write` whose outcome is unknown. 2.
        network: whether it needs the network.
        approval: `always` or `never` asks a person, or a function of the resolved arguments that says whether to.
        cost: US dollars per execution.
        roles: roles the person behind the run needs; empty is anybody.
        output_label: the label of its results: a `Label`, or `"trusted"`. Untrusted text from `tool:NAME`.
        reconcile: finds out what came of a call whose outcome is unknown: called with `(key, args)`, returns the
            result or raises NotDone.
        input_model: a Pydantic model that is the arguments; the function takes it as its one parameter, or its fields.
        sandbox: run the function in a `Sandbox` of its own (True), or in the one given. It must be at the top level of
            an importable module, and is given and returns plain JSON.
        cache: give a result again for equal arguments, for so many seconds; True is an hour, for `deterministic` tools.
            A `write` is never cached.
        tags: words that policies and approvals know it by.
        capabilities: what it can do, for those who look for a tool without its name.

    Raises ConfigurationError for a bad name or option, a generator, `*args`, `**kwargs`, positional-only parameters.
    """
    settings = read_options(options)
    if fn is not None:
        return _make(fn, settings, 2)

    def decorate(function: Any) -> Any:
        return _make(function, settings, 2)

    return decorate


def _make(fn: Any, options: Options, depth: int) -> Any:
    if isinstance(fn, staticmethod):
        fn = cast("Callable[..., Any]", fn.__func__)
    return FunctionTool(fn, options, local=local_names(fn, depth))
