"""Arithmetic: an expression is parsed, not run, so that nothing but numbers can come of it.

Whole numbers are exact, decimal numbers are decimal (0.1 + 0.2 is 0.3), functions are those of `math`. Sizes are
bounded before a result is computed, so that no expression takes long.
"""

from __future__ import annotations

import ast
import decimal
import math
import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from podium.core.errors import ToolError
from podium.tools.function import FunctionTool, tool

LONGEST: Final = 1000
"""Characters of an expression."""
MOST_BITS: Final = 100_000
"""Bits of a whole number, and so about 30,000 digits."""
MOST_NODES: Final = 300
_PRECISION: Final = decimal.Context(prec=34, Emax=6144, Emin=-6143)  # IEEE 754 decimal128

Number = int | Decimal

_CONSTANTS: Final = {"pi": Decimal(repr(math.pi)), "e": Decimal(repr(math.e)), "tau": Decimal(repr(math.tau))}
_REAL: Final[dict[str, Callable[..., float]]] = {
    name: getattr(math, name)
    for name in (
        "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "log", "log10", "log2", "exp",
        "degrees", "radians", "hypot", "gamma",
    )
}  # fmt: skip
_WHOLE: Final[dict[str, Callable[..., int]]] = {"gcd": math.gcd, "lcm": math.lcm}
_ANY: Final[dict[str, Callable[..., Any]]] = {"abs": abs, "min": min, "max": max}
_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}
_COMPARE: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt,
    ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip


def evaluate(expression: str) -> str:
    """The value of an expression as text. Raises ToolError with what is wrong in it."""
    if len(expression) > LONGEST:
        raise ToolError(f"the expression is longer than {LONGEST} characters: calculate it in parts")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ToolError(
            "the expression cannot be read: write numbers, + - * / // % **, brackets and functions"
        ) from None
    if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
        raise ToolError("the expression has too many parts: calculate it in parts")
    with decimal.localcontext(_PRECISION):
        try:
            return _shown(_value(tree.body))
        except (ZeroDivisionError, decimal.InvalidOperation):
            raise ToolError("it has no value: a division by zero, or of what is no number") from None
        except decimal.Overflow:
            raise ToolError("it has no value: it is too large") from None
        except (ArithmeticError, ValueError, TypeError) as error:
            raise ToolError(f"it has no value: {str(error) or type(error).__name__}") from None


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return _constant(node)
    if isinstance(node, ast.BinOp):
        return _binary(type(node.op), _value(node.left), _value(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _value(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _call(node.func.id, [_value(each) for each in node.args])
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
        return _COMPARE[type(node.ops[0])](_value(node.left), _value(node.comparators[0]))
    if isinstance(node, ast.Name):
        raise ToolError(f"{node.id!r} is not known: use numbers, {', '.join(_CONSTANTS)} and functions such as sqrt(2)")
    raise ToolError("only arithmetic is calculated: numbers, + - * / // % **, brackets, comparisons and functions")


def _constant(node: ast.Constant) -> Number:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ToolError("only numbers are calculated")
    # The source text says more than the float that Python made of it.
    return _bounded(value) if isinstance(value, int) else Decimal(repr(value))


def _binary(kind: type[ast.operator], left: Any, right: Any) -> Any:
    if kind is ast.Pow:
        return _power(left, right)
    if kind is ast.Div:
        if isinstance(left, int) and isinstance(right, int) and right and left % right == 0:
            return left // right
        return Decimal(left) / Decimal(right)
    if kind not in _BINARY:
        raise ToolError("only + - * / // % and ** are calculated")
    return _bounded(_BINARY[kind](left, right))


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if abs(base) > 1 and base.bit_length() * exponent > MOST_BITS:
            raise ToolError(f"the result would have more than {MOST_BITS} bits")
        return base**exponent
    return Decimal(base) ** Decimal(exponent)


def _call(name: str, args: list[Any]) -> Any:
    if name == "sqrt":
        return Decimal(*args).sqrt()
    if name == "round" and 1 <= len(args) <= 2:
        return round(args[0]) if len(args) == 1 else round(Decimal(args[0]), int(args[1]))
    if name in ("floor", "ceil") and len(args) == 1:
        return math.floor(args[0]) if name == "floor" else math.ceil(args[0])
    if name == "sum":
        return _bounded(sum(args))
    if name == "factorial" and len(args) == 1:
        if not isinstance(args[0], int) or not 0 <= args[0] <= 5000:
            raise ToolError("factorial takes a whole number from 0 to 5000")
        return math.factorial(args[0])
    if name in _ANY:
        return _ANY[name](*args)
    if name in _WHOLE:
        # As many bits as all of them together at most, and slow when they are many.
        if sum(each.bit_length() for each in args if isinstance(each, int)) > MOST_BITS:
            raise ToolError(f"{name} takes numbers of {MOST_BITS} bits together")
        return _WHOLE[name](*args)
    if name in _REAL:
        return Decimal(repr(_REAL[name](*map(float, args))))
    known = sorted(["sqrt", "round", "floor", "ceil", "sum", "factorial", *_ANY, *_WHOLE, *_REAL])
    raise ToolError(f"there is no function {name!r}: {', '.join(known)}")


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ToolError(f"the result would have more than {MOST_BITS} bits")
    return value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Python bounds how many digits `str` makes of an int; a Decimal of enough precision has no such bound.
        return str(decimal.Context(prec=MOST_BITS).create_decimal(value)) if value.bit_length() > 10_000 else str(value)
    plain = value.normalize()
    if plain == plain.to_integral_value() and abs(plain.adjusted()) < 34:
        return str(plain.to_integral_value().quantize(Decimal(1)))
    return str(plain)


def _calculator() -> FunctionTool[..., str]:
    @tool(
        name="calculator", effect="read", reach="none", deterministic=True, output_label="trusted", timeout=5.0,
        capabilities="arithmetic",
    )  # fmt: skip
    def calculate(expression: str) -> str:
        """Calculate an arithmetic expression exactly.

        Args:
            expression: for example `(1200 * 1.19) / 12` or `sqrt(2) ** 3`; + - * / // % **, comparisons, pi, e and
                functions such as round, floor, log, sin, gcd, factorial
        """
        return evaluate(expression)

    return calculate


calculator = _calculator()
"""The tool `calculator(expression)`: a `read` without reach. Decimal numbers are exact to 34 digits."""
