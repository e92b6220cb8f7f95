"""The words of this package: names for plain JSON and for hints, and what the journal can hold of numbers.

It knows no engine and no function; every other module here stands on it.
"""

from __future__ import annotations

import inspect
from typing import Any, Final, TypeAlias

Json: TypeAlias = Any
"""Plain JSON: str, int, float, bool, None, and lists and string-keyed dicts of such."""
JsonSchema: TypeAlias = dict[str, Any]
Hint: TypeAlias = Any
"""Anything that may stand in an annotation."""
MISSING: Final = inspect.Parameter.empty
"""The default of a parameter without one, and the annotation of one without any."""
UNSUPPORTED = (TypeError, ValueError, NameError, AttributeError, RuntimeError, SyntaxError)
"""What engines and hints raise for a type that is not supported or cannot be resolved."""
INT_LOW, INT_HIGH = -(2**63), 2**64
"""The integers that MessagePack, and so the journal, can hold: from the first up to below the second."""
