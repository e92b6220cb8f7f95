"""What a sandbox does for honest programs: it runs them, and says what became of them."""

from __future__ import annotations

import asyncio
import threading
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import BaseModel

import podium
from podium import ConfigurationError, Sandbox, SandboxResult

pytestmark = pytest.mark.usefixtures("box_here")


async def test_a_program_runs_with_its_arguments_and_its_input() -> None:
    result = await Sandbox().run(["tr", "a-z", "A-Z"], stdin="grüße\n")
    assert result == SandboxResult(
        success=True,
        output="GRüßE\n",
        exit_code=0,
        duration_ms=result.duration_ms,
        cpu_ms=result.cpu_ms,
        rung=result.rung,
    )
    assert result.rung in ("A", "B")


async def test_a_script_gets_a_shell_and_no_shell_reads_arguments() -> None:
    box = Sandbox()
    assert (await box.shell("echo one; echo two >&2; exit 3")).exit_code == 3
    assert (await box.run(["echo", "$HOME; id"])).output == "$HOME; id\n"


async def test_output_and_error_stay_apart_and_bytes_that_are_no_text_are_replaced() -> None:
    result = await Sandbox().shell("printf 'a\\377b'; echo oops >&2")
    assert (result.output, result.stderr) == ("a\ufffdb", "oops\n")


async def test_a_program_that_is_not_there_is_said_to_be_missing() -> None:
    result = await Sandbox().run(["no-such-program"])
    assert (result.success, result.exit_code) == (False, 127)
    assert result.error == "there is no program 'no-such-program' in the sandbox"


async def test_a_failure_is_told_in_one_line_with_the_last_line_of_its_own_words() -> None:
    result = await Sandbox().python("print('so far')\nraise ValueError('no order 12')")
    assert result.error == "it ended with exit code 1: ValueError: no order 12"
    assert result.output == "so far\n"
    assert "line 2, in <module>" in result.stderr
    assert "payload" not in result.stderr


async def test_a_signal_that_ended_a_program_is_named() -> None:
    result = await Sandbox().shell("kill -SEGV $$")
    assert (result.exit_code, result.limit, result.error) == (-11, None, "it was ended by SIGSEGV")


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("a + b", 5),
        ("result = [a, b]", [2, 3]),
        ("result = a\nb", 2),
        ("x = a", None),
        ("{1: (a, b)}", {"1": [2, 3]}),
        ("{3, 1}", [1, 3]),
        ("import datetime; datetime.date(2026, 11, 21)", "2026-11-21"),
        ("import decimal; decimal.Decimal('1.10')", "1.10"),
        ("'ü' * 3", "üüü"),
        ("object", "<class 'object'>"),
        ("float('nan')", "nan"),
        ("10**30", 10**30),
    ],
)
async def test_code_gives_its_variable_result_or_its_last_expression(code: str, value: object) -> None:
    result = await Sandbox().python(code, {"a": 2, "b": 3})
    assert (result.error, result.value) == (None, value)


async def test_a_result_that_is_not_json_is_a_failure_that_says_so() -> None:
    result = await Sandbox().python("result = object()")
    assert not result.success
    assert "object is not JSON" in (result.error or "")


async def test_inputs_that_are_not_json_are_refused_before_anything_runs() -> None:
    with pytest.raises(ConfigurationError, match="inputs must be JSON"):
        await Sandbox().python("1", {"x": object()})


class Order(BaseModel):
    price: Decimal
    day: date


async def test_inputs_and_arguments_may_be_close_to_json() -> None:
    order = Order(price=Decimal("12.50"), day=date(2026, 3, 1))
    result = await Sandbox().python("[order['price'], order['day'], tags, path]", {
        "order": order, "tags": {"b", "a"}, "path": Path("x/y"),
    })  # fmt: skip
    assert result.value == ["12.50", "2026-03-01", ["a", "b"], "x/y"]
    assert (await Sandbox().call("builtins:len", [{"one", "two"}])).value == 2


@pytest.mark.parametrize("name", ["a-b", "class", "", "1st"])
async def test_inputs_that_cannot_be_variables_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a variable"):
        await Sandbox().python("1", {name: 1})


async def test_a_function_is_called_by_name_with_arguments_by_name_or_in_order() -> None:
    box = Sandbox()
    assert (await box.call("textwrap:shorten", {"text": "one two three", "width": 9})).value == "one [...]"
    assert (await box.call("operator:add", [2, 3])).value == 5
    assert (await box.call("podium.tools.sandbox.values:shallow", {"value": [[1]]})).value is True


async def test_a_function_of_the_running_script_has_no_module_to_import() -> None:
    with pytest.raises(ConfigurationError, match="no function of a module that can be imported"):
        await Sandbox().call("__main__:main")


async def test_calling_what_is_not_there_fails_where_it_can_be_seen() -> None:
    assert "has no attribute 'nothing'" in ((await Sandbox().call("math:nothing")).error or "")
    with pytest.raises(ConfigurationError, match="there is no module 'no_such_module'"):
        await Sandbox().call("no_such_module:f")
    with pytest.raises(ConfigurationError, match="is no function"):
        await Sandbox().call("math.floor")


async def test_files_lie_in_the_work_dir_and_what_is_left_there_comes_back() -> None:
    box = Sandbox(files={"in/data.csv": "a,b\n1,2\n"})
    result = await box.shell(
        "cut -d, -f2 in/data.csv > out.txt; rm -r in; mkdir deep; printf x > deep/ü", files={"b": b"\0"}
    )
    assert result.files == {"b": b"\0", "out.txt": b"b\n2\n", "deep/ü": b"x"}


async def test_links_and_special_files_are_not_collected_and_many_files_are_bounded() -> None:
    script = "ln -s /etc/passwd link; mkfifo pipe; ln -s / root; for i in 1 2 3 4 5; do echo $i > f$i; done"
    result = await Sandbox(most_files=3).shell(script)
    assert sorted(result.files) == ["f1", "f2", "f3"]
    assert result.left_out == 2


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a//b", "", "a/.", "a\0b"])
async def test_names_that_lead_out_of_the_work_dir_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no name in the work dir"):
        await Sandbox().run(["true"], files={name: b""})


async def test_the_environment_is_a_short_list_and_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    result = await Sandbox(env={"MODE": "test"}).run(["env"])
    names = {line.partition("=")[0] for line in result.output.splitlines()}
    assert names == {"HOME", "LANG", "MODE", "PATH", "TMPDIR", "USER"}


async def test_threads_processes_pools_and_temporary_files_work() -> None:
    code = """
import subprocess, tempfile, multiprocessing, sys
from concurrent.futures import ThreadPoolExecutor
with tempfile.TemporaryDirectory() as folder, open(folder + "/t", "w+") as file:
    file.write("x")
with ThreadPoolExecutor(4) as pool:
    squares = list(pool.map(lambda n: n * n, range(10)))
with multiprocessing.get_context("fork").Pool(2) as pool:
    absolutes = pool.map(abs, [-1, -2])
child = subprocess.run([sys.executable, "-c", "print(40 + 2)"], capture_output=True, text=True, check=True)
result = [sum(squares), absolutes, child.stdout]
"""
    result = await Sandbox().python(code)
    assert (result.error, result.value) == (None, [285, [1, 2], "42\n"])


async def test_numpy_works_when_it_is_installed() -> None:
    pytest.importorskip("numpy")
    result = await Sandbox().python("import numpy as np\nnp.arange(4).reshape(2, 2) @ np.eye(2)")
    assert result.value == [[0.0, 1.0], [2.0, 3.0]]


async def test_much_input_and_output_within_the_limit_comes_whole() -> None:
    text = "0123456789" * 100_000
    result = await Sandbox(output_limit=1 << 20).run(["cat"], stdin=text)
    assert result.output == text


async def test_a_program_need_not_read_its_input() -> None:
    assert (await Sandbox().run(["true"], stdin="x" * 500_000)).success


async def test_background_processes_do_not_keep_a_call_waiting() -> None:
    result = await Sandbox(timeout=60).shell("sleep 50 & setsid sleep 50 & echo started")
    assert (result.success, result.output) == (True, "started\n")


async def test_runs_are_strangers_to_each_other() -> None:
    box = Sandbox()
    await box.shell("touch /box/mine /tmp/mine /dev/shm/mine")
    result = await box.shell("ls /box /tmp /dev/shm; ps ax 2>/dev/null | wc -l")
    assert "mine" not in result.output


async def test_several_runs_go_side_by_side() -> None:
    box = Sandbox(warm=2)
    results = await asyncio.gather(*(box.python("n * n", {"n": n}) for n in range(6)))
    assert [result.value for result in results] == [0, 1, 4, 9, 16, 25]


def test_the_sync_twins_work_without_a_loop_on_a_running_loop_and_in_threads() -> None:
    box = Sandbox()
    values = [box.python_sync("1").value]

    async def on_a_loop() -> None:
        values.append(box.python_sync("2").value)

    asyncio.run(on_a_loop())
    asyncio.run(on_a_loop())
    thread = threading.Thread(target=lambda: values.append(box.call_sync("math:sqrt", [9.0]).value))
    thread.start()
    thread.join()
    assert values == [1, 2, 2, 3.0]
    assert box.run_sync(["echo", "hi"]).output == "hi\n"
    assert box.shell_sync("echo $((1 + 1))").output == "2\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": 0}, "timeout="),
        ({"memory_mb": 0}, "memory_mb="),
        ({"disk_mb": -1}, "disk_mb="),
        ({"processes": 0}, "processes="),
        ({"cpu_seconds": 0}, "cpu_seconds="),
        ({"floor": "Z"}, "floor="),
        ({"env": {"A=B": "x"}}, "env:"),
        ({"env": ["A=1"]}, "env= takes names"),
        ({"files": ["a.txt"]}, "files= takes names"),
        ({"output_limit": 0}, "output_limit="),
        ({"memory_mb": "x"}, "memory_mb='x': give a whole number"),
        ({"memory_mb": 100.5}, "memory_mb=100.5: give a whole number"),
        ({"disk_mb": 10.5}, "disk_mb="),
        ({"output_limit": float("nan")}, "output_limit="),
        ({"most_bytes": 1 << 30}, "most_bytes="),
        ({"env": {"A": 1}}, "env: 'A'"),
        ({"env": {"A": "\ud800"}}, "env: 'A'"),
        ({"env": {"PODIUM_PRELOAD": "os"}}, "env: 'PODIUM_PRELOAD'"),
        ({"files": {"a": 5}}, "files: 'a': give text or bytes, not int"),
        ({"files": {"\ud800": "x"}}, "no name in the work dir"),
        ({"network": ["http://a b/"]}, "address of a page"),
        ({"files": {"big": bytes(2 << 20)}, "disk_mb": 1}, "raise disk_mb="),
    ],
)
def test_bad_settings_are_refused_with_their_name(options: dict, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Sandbox(**options)


async def test_text_that_no_program_can_be_given_is_refused_before_anything_runs() -> None:
    box = Sandbox()
    with pytest.raises(ConfigurationError, match="unpaired surrogates"):
        await box.shell("echo \ud800")
    with pytest.raises(ConfigurationError, match="stdin: it holds an unpaired surrogate"):
        await box.run(["cat"], stdin="\ud800")
    assert (await box.run(["printf", "%s", "\udcff"])).output == "\ufffd"  # a byte of a file's name


async def test_a_text_with_an_unpaired_surrogate_comes_back_as_text() -> None:
    assert (await Sandbox().python("'name \\udcff'")).value == "name ?"


async def test_arguments_are_a_list() -> None:
    with pytest.raises(ConfigurationError, match="argv is the program and its arguments"):
        await Sandbox().run("ls -l")  # pyright: ignore[reportArgumentType]


def test_the_package_offers_it_and_answers_to_its_other_name() -> None:
    assert podium.Sandbox is Sandbox
    with pytest.raises(AttributeError, match="in Podium it is Sandbox"):
        _ = podium.ToolSandbox  # pyright: ignore[reportAttributeAccessIssue]
