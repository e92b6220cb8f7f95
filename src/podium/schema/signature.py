"""A function's signature to a JSON Schema and to the way from a model's arguments to a call.

Parameters are read at once, so that a decorator costs microseconds and refuses early; their types are resolved and
compiled at the first use, when everything they mention exists. It knows functions, and nothing of tools.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from podium.core.errors import ConfigurationError

from .arguments import Fields, Parameter, Whole
from .docstring import parse_docstring
from .hints import field_names, type_name
from .json_schema import holds_secret
from .output import OutputType
from .plain import find_unfit
from .problems import explained, first_line
from .terms import MISSING, UNSUPPORTED, Hint, Json, JsonSchema

_convert, _to_builtins, _encode = msgspec.convert, msgspec.to_builtins, msgspec.msgpack.Encoder().encode
_sorted_builtins = functools.partial(_to_builtins, str_keys=True, order="deterministic")


class _Signature:
    """A function's parameters, read at once; what their annotations mean is found out at the first use."""

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str,
        skip: Sequence[str],
        skip_types: Sequence[type],
        local: Mapping[str, Any],
    ) -> None:
        self.name, self.doc = name, getattr(fn, "__doc__", None)
        self._skip_types, self._local = tuple(skip_types), local
        self._skip = set(skip)
        source: Any = fn
        if isinstance(fn, functools.partial):
            self._skip |= set(fn.keywords)  # what the program fixed is not for the model to change
            source = fn.func
        plain: Any = inspect.unwrap(source)
        self._function: Any = plain if hasattr(plain, "__code__") else type(plain).__call__
        self.doc = getattr(source, "__doc__", None)
        self.parameters: dict[str, inspect.Parameter] = {}
        try:
            found = inspect.signature(cast("Callable[..., Any]", fn))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{name}: its parameters cannot be read ({error}): wrap it in a function"
            ) from None
        self.returns = found.return_annotation
        for parameter in found.parameters.values():
            if parameter.name in self._skip:
                continue
            if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
                shown = str(parameter).partition(":")[0]
                raise ConfigurationError(
                    f"{name}: parameter {shown!r} cannot be described to a model: name every parameter, without "
                    f"*args, **kwargs and positional-only ones"
                )
            self.parameters[parameter.name] = parameter

    def hints(self) -> tuple[dict[str, tuple[Hint, Any]], tuple[str, ...]]:
        """(type, default) of each argument, and the names of those left out because of their type."""
        hints: dict[str, tuple[Hint, Any]] = {}
        left_out: list[str] = []
        for name, parameter in self.parameters.items():
            annotation = parameter.annotation
            if isinstance(annotation, str) and annotation.strip("\"'").rpartition(".")[2] in {
                kind.__name__ for kind in self._skip_types
            }:
                left_out.append(name)  # so that the name may be imported for type checkers only
                continue
            hint = Any if annotation is MISSING else self.resolved(annotation, f"parameter {name!r}")
            if hint in self._skip_types:
                left_out.append(name)
            else:
                hints[name] = (hint, parameter.default)
        return hints, tuple(left_out)

    def resolved(self, annotation: Hint, where: str) -> Hint:
        """What an annotation means. Raises ConfigurationError."""
        code = getattr(self._function, "__code__", None)
        cells = getattr(self._function, "__closure__", None) or ()
        names = dict(self._local)
        for free, cell in zip(code.co_freevars if code else (), cells, strict=False):
            try:
                names[free] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
        scope: dict[str, Any] = getattr(self._function, "__globals__", {})
        holder = types.FunctionType((lambda: None).__code__, scope)
        holder.__annotations__ = {"hint": annotation}
        try:
            hint = typing.get_type_hints(holder, scope, names, include_extras=True)["hint"]
        except UNSUPPORTED as error:
            raise ConfigurationError(
                f"{self.name}: the type of {where}, {str(annotation)[:120]!r}, cannot be resolved "
                f"({first_line(error)}): import or define it at module level, before the first use"
            ) from None
        return Any if hint is object else hint


def local_names(fn: Callable[..., Any], depth: int) -> dict[str, Any]:
    """Local variables, `depth` frames above the caller, that the string annotations of a nested function mention.

    For decorators: under `from __future__ import annotations` a class defined beside the function, inside another
    function, can be found no other way. Only mentioned names are kept, and nothing for functions at module level.
    """
    qualified: str = getattr(fn, "__qualname__", "")
    annotations = cast("dict[str, Any]", getattr(fn, "__annotations__", {}))
    texts = [text for text in annotations.values() if isinstance(text, str)]
    if "<locals>" not in qualified or not texts:
        return {}
    mentioned = set(re.findall(r"\w+", " ".join(texts)))
    frame = inspect.currentframe()
    for _ in range(depth + 1):
        frame = frame.f_back if frame else None
    scope = frame.f_locals if frame else {}
    return {name: scope[name] for name in mentioned if name in scope}


class ArgumentSchema:
    """What a function takes: a JSON Schema, and the way from a model's arguments to a call. See `signature_schema`."""

    def __init__(self, signature: _Signature, model: Hint) -> None:
        self._signature, self._model = signature, model
        self._ready: Fields | Whole | None = None
        self._skipped: tuple[str, ...] = ()

    def _compile(self) -> Fields | Whole:
        signature = self._signature
        hints, self._skipped = signature.hints()
        if self._model is None:
            descriptions = parse_docstring(signature.doc)[1]
            parameters: dict[str, Parameter] = {}
            for name, (hint, default) in hints.items():
                with explained(signature.name, f"parameter {name!r} ({type_name(hint)})"):
                    parameters[name] = Parameter(name, hint, default, descriptions.get(name, ""))
            with explained(signature.name, "its parameters"):
                ready = Fields(signature.name, parameters)
        else:
            # One parameter that is no field of the model takes it whole.
            names = list(hints)
            whole = names[0] if len(names) == 1 and names[0] not in field_names(self._model) else None
            with explained(signature.name, "input_model"):
                ready = Whole(signature.name, self._model, whole, names)
        if holds_secret(ready.json):
            raise ConfigurationError(
                f"{signature.name}: an argument is a secret, and arguments are journaled: take it from `ctx.deps`"
            )
        self._ready = ready
        return ready

    @property
    def json(self) -> JsonSchema:
        """The JSON Schema (2020-12) of the arguments: an object, with references into its own `$defs` only."""
        return (self._ready or self._compile()).json

    @property
    def plain(self) -> bool:
        """Whether resolved arguments are the call's keyword arguments as they are, so that `load` can be left out."""
        return (self._ready or self._compile()).plain

    @property
    def skipped(self) -> tuple[str, ...]:
        """Parameters that are no arguments because of their type."""
        if self._ready is None:
            self._compile()
        return self._skipped

    @property
    def description(self) -> str:
        """The first paragraph of the function's docstring (or of the model's)."""
        return parse_docstring(self._signature.doc)[0] or parse_docstring(getattr(self._model, "__doc__", None))[0]

    def resolve(self, args: dict[str, Any]) -> dict[str, Json]:
        """`args` checked, coerced and completed with defaults, as plain JSON. Resolving twice changes nothing.

        Raises ToolValidationError with a message a model can act on.
        """
        ready = self._ready or self._compile()
        if ready.struct is not None:
            try:
                typed = _convert(args, ready.struct, str_keys=True)
                # Sets must leave in the same order in every process: a replayed call is compared by its digest.
                plain = _to_builtins(typed) if ready.plain else _sorted_builtins(typed)
                _encode(plain)  # finds integers and texts that the journal cannot hold
            except Exception:  # noqa: BLE001 - the slow way finds what is wrong, and says it parameter by parameter
                return ready.resolve(args)
            if not ready.floats or find_unfit(plain) is None:
                return plain
        return ready.resolve(args)

    def load(self, args: dict[str, Any]) -> dict[str, Any]:
        """The typed keyword arguments of the call. Raises ToolValidationError."""
        ready = self._ready or self._compile()
        if ready.struct is not None:
            try:
                return msgspec.structs.asdict(_convert(args, ready.struct, str_keys=True))
            except Exception:  # noqa: BLE001 - as in `resolve`
                return ready.load(args)
        return ready.load(args)


def signature_schema(
    fn: Callable[..., Any],
    *,
    name: str = "",
    skip: Sequence[str] = (),
    skip_types: Sequence[type] = (),
    local: Mapping[str, Any] | None = None,
    model: Hint = None,
) -> ArgumentSchema:
    """What `fn` takes. Only the kinds of its parameters are looked at now; types are compiled at the first use.

    Parameters named in `skip`, or whose type is one of `skip_types`, are left out: somebody else supplies them. `local`
    holds names for annotations that the function's module and closure do not know. With `model`, that type is the
    arguments: the function takes it as its one parameter, or its fields by name.

    Descriptions come from `Annotated[int, "text"]`, `msgspec.Meta(description=…)`, Pydantic's `Field(description=…)`,
    or the docstring. Raises ConfigurationError here for `*args`, `**kwargs` and positional-only parameters, and at the
    first use for types that cannot be resolved or described.
    """
    return ArgumentSchema(
        _Signature(fn, name or getattr(fn, "__name__", "function"), skip, skip_types, local or {}), model
    )


def return_type(
    fn: Callable[..., Any], *, name: str = "", local: Mapping[str, Any] | None = None
) -> OutputType[Any] | None:
    """The declared type of what `fn` returns; None when nothing (or Any) is declared. Raises ConfigurationError."""
    owner = name or getattr(fn, "__name__", "function")
    signature = _Signature(fn, owner, tuple(inspect.signature(fn).parameters), (), local or {})
    if signature.returns is MISSING:
        return None
    hint = signature.resolved(signature.returns, "what it returns")
    return None if hint is Any else OutputType(hint, owner)
