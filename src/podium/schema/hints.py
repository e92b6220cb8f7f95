"""Type hints, looked at: what they are called, what they are made of, and what that asks of an engine.

It compiles nothing and knows no values.
"""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any, Literal, Union

import msgspec

from .terms import UNSUPPORTED, Hint


def type_name(hint: Hint) -> str:
    """A type as it is written in code, at most 120 characters."""
    if hint is type(None):
        return "None"
    return inspect.formatannotation(hint).replace("typing.", "")[:120]


def described(hint: Hint) -> str:
    """What `Annotated` says the hint is for: a text, or a `description` or `documentation`; "" when nothing."""
    for item in getattr(hint, "__metadata__", ()):
        text = item if isinstance(item, str) else getattr(item, "documentation", getattr(item, "description", None))
        if isinstance(text, str) and text:
            return text
    return ""


def field_names(model: Hint) -> tuple[str, ...]:
    """The fields of a Pydantic model, Struct, dataclass or TypedDict, in order; none for anything else."""
    for attribute in ("model_fields", "__struct_fields__", "__dataclass_fields__", "__annotations__"):
        if hasattr(model, attribute):
            return tuple(getattr(model, attribute))
    return ()


def is_simple(hint: Hint) -> bool:
    """Whether the typed value is the plain one, always fit for the journal once encoded."""
    if hasattr(hint, "__metadata__"):
        return is_simple(hint.__origin__)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return all(isinstance(arg, str | int | None) for arg in args)
    if origin in {Union, types.UnionType} or origin is list:
        return all(is_simple(arg) for arg in args)
    if origin is dict:
        return args[0] is str and is_simple(args[1])
    return hint in (str, int, float, bool, type(None), Any)


def has_floats(hint: Hint) -> bool:
    """Whether a value may hold a float, which need not be finite."""
    args = typing.get_args(hint)
    return hint in (float, Any) or (typing.get_origin(hint) is not Literal and any(has_floats(arg) for arg in args))


def uses_pydantic(hint: Hint, seen: set[int]) -> bool:
    """Whether anything in the hint is Pydantic's, or annotated for it. `seen`: ids of hints met, empty at first."""
    import dataclasses  # at the first use of a type, not with the package

    if id(hint) in seen:
        return False
    seen.add(id(hint))
    if hasattr(hint, "__metadata__"):
        foreign = any(not isinstance(item, str | msgspec.Meta) and not _is_doc(item) for item in hint.__metadata__)
        return foreign or uses_pydantic(hint.__origin__, seen)
    if typing.get_origin(hint) is Literal:
        return False
    inner: list[Hint] = list(typing.get_args(hint))
    if not isinstance(hint, type):  # NewType, and `type X = …`
        inner.extend(getattr(hint, name) for name in ("__supertype__", "__value__") if hasattr(hint, name))
    kind: Hint = typing.get_origin(hint) or hint
    if inspect.isclass(kind):
        if hasattr(kind, "__get_pydantic_core_schema__") or hasattr(kind, "__pydantic_validator__"):
            return True
        if dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) or hasattr(kind, "_field_defaults"):
            try:
                inner.extend(typing.get_type_hints(kind, include_extras=True).values())
            except UNSUPPORTED:
                return False  # the engine says more clearly what cannot be resolved
    return any(uses_pydantic(item, seen) for item in inner)


def holds_dataclass(hint: Hint, seen: set[int]) -> bool:
    """Whether a value may hold a dataclass, or may for all one can tell. `seen` as for `uses_pydantic`."""
    import dataclasses  # as above

    if id(hint) in seen:
        return False
    seen.add(id(hint))
    if dataclasses.is_dataclass(hint):
        return True
    inner: list[Hint] = list(typing.get_args(hint))
    if inspect.isclass(hint) and (hasattr(hint, "__struct_fields__") or hasattr(hint, "__annotations__")):
        try:
            inner.extend(typing.get_type_hints(hint).values())
        except UNSUPPORTED:
            return True  # cannot tell
    return any(holds_dataclass(item, seen) for item in inner)


def _is_doc(item: object) -> bool:
    return type(item).__name__ == "Doc" and hasattr(item, "documentation")
