"""What runs inside the box for `Sandbox.python` and `Sandbox.call`: reads one request, does it, writes one value.

This source is given to a fresh interpreter by `-c`; it uses the standard library alone and trusts nobody, because the
code it runs can change all of it. The request is one line of JSON on the standard input; the value goes to descriptor
3. What it says is data: whether the run succeeded is judged outside, by the exit status and the limits.
"""

# It runs on its own in a fresh interpreter: nothing is imported only for annotations, and running code is its purpose.
# pyright: basic, reportCallIssue=false
# Imported before the request comes, so that a box that waited answers sooner.
import ast
import atexit
import importlib
import inspect
import json
import linecache
import os
import sys
import types


def _main():
    sys.path[:] = json.loads(sys.argv[1])
    sys.argv = [""]
    for name in json.loads(os.environ.pop("PODIUM_PRELOAD", "[]")):
        __import__(name)
    length = int(sys.stdin.buffer.readline() or b"-1")
    if length < 0:
        os._exit(0)
    request = json.loads(sys.stdin.buffer.read(length))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.stdin = open(0, encoding="utf-8")
    try:
        value = _call(request) if "call" in request else _run(request)
        # Unpaired surrogates are no UTF-8: a file's name may have them.
        raw = json.dumps(value, allow_nan=False, default=_plain, ensure_ascii=False).encode("utf-8", "replace")
    except SystemExit:
        raise
    except BaseException as error:
        _explain(error)
        sys.exit(1)
    sys.stdout.flush()
    with open(3, "wb", closefd=False) as out:
        out.write(raw)
    _leave()


def _leave():
    """End as the interpreter would, but for taking itself apart."""
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
    os._exit(0)


def _run(request):
    code = request["code"]
    linecache.cache["<code>"] = (len(code), None, code.splitlines(keepends=True), "<code>")
    tree = ast.parse(code, "<code>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    names = vars(module)
    names.update(request["inputs"])
    exec(compile(tree, "<code>", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "<code>", "eval"), names) if last is not None else None
    if "result" in names and "result" not in request["inputs"]:
        return names["result"]
    return value if last is None else _shown(value)


def _shown(value):
    """The value of a last expression: one that JSON cannot hold is shown as a terminal would show it."""
    try:
        json.dumps(value, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
    return value


def _call(request):
    module, _, path = request["call"].partition(":")
    found = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    args = request["args"]
    plain = getattr(found, "call_plain", None)  # a tool, which has types of its own
    if plain is not None:
        value = plain(args)
    else:
        value = found(**args) if isinstance(args, dict) else found(*args)
    if inspect.isawaitable(value):
        import asyncio

        async def wait():
            return await value

        return asyncio.run(wait())
    return value


def _plain(value):
    """JSON for what is close to it: data classes, sets, numpy's numbers and arrays, paths, dates, decimals."""
    import dataclasses
    import datetime
    import decimal
    import pathlib

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (pathlib.PurePath, decimal.Decimal)):
        return str(value)
    dump = getattr(value, "model_dump", None) or getattr(value, "tolist", None)
    if dump is not None and not isinstance(value, type):
        return dump()
    raise TypeError(f"{type(value).__name__} is not JSON: return numbers, text, lists and dicts")


def _explain(error):
    """The traceback, without the frames of this file."""
    import traceback

    sys.stdout.flush()
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == "<string>":
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


_main()
