"""The pytest plugin: real model calls are forbidden in tests, and the plugin costs nothing."""

import subprocess
import sys
import textwrap
from typing import Any

import pytest


def outcome(tmp_path, body: str, *options: str, ini: str = "") -> dict[str, Any]:
    """Run pytest on a file of its own, in a process of its own."""
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n{ini}\n"
    )
    (tmp_path / "test_it.py").write_text(textwrap.dedent(body))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", *options, "test_it.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return {"code": ran.returncode, "text": ran.stdout + ran.stderr}


FORBIDDEN = """
import sys
import pytest

def test_forbidden():
    from podium.models import transport
    assert not transport.real_calls_allowed()

@pytest.mark.real_models
def test_marked():
    from podium.models import transport
    assert transport.real_calls_allowed()

def test_forbidden_again():
    from podium.models import transport
    assert not transport.real_calls_allowed()
"""


def test_real_calls_are_forbidden_but_for_marked_tests(tmp_path):
    ran = outcome(tmp_path, FORBIDDEN)
    assert ran["code"] == 0, ran["text"]


def test_a_call_names_the_ways_out(tmp_path):
    ran = outcome(
        tmp_path,
        """
        from podium import Agent, OpenAIModel

        async def test_call():
            agent = Agent("a", model=OpenAIModel("gpt", base_url="http://models.invalid/v1", api_key="k"))
            result = await agent.run("hi")
            assert "ScriptedModel" in str(result.error) and "real_models" in str(result.error), result.error
        """,
    )
    assert ran["code"] == 0, ran["text"]


@pytest.mark.parametrize("how", ["option", "ini"])
def test_real_calls_can_be_allowed(tmp_path, how):
    body = """
    def test_allowed():
        from podium.models import transport
        assert transport.real_calls_allowed()
    """
    options = ["--podium-real-models=allow"] if how == "option" else []
    ran = outcome(tmp_path, body, *options, ini="podium_real_models = allow" if how == "ini" else "")
    assert ran["code"] == 0, ran["text"]


def test_another_word_is_refused(tmp_path):
    ran = outcome(tmp_path, "def test_it(): pass", ini="podium_real_models = maybe")
    assert ran["code"] == pytest.ExitCode.USAGE_ERROR
    assert "forbid or allow" in ran["text"]


def test_the_plugin_loads_nothing_heavy(tmp_path):
    ran = outcome(
        tmp_path,
        """
        import sys

        def test_light():
            loaded = {name for name in sys.modules if name.startswith("podium.")}
            assert loaded == {"podium.testing", "podium.testing.plugin"}, loaded
        """,
    )
    assert ran["code"] == 0, ran["text"]


def test_the_fixtures_give_an_app_and_a_clock(tmp_path):
    ran = outcome(
        tmp_path,
        """
        from podium import member

        @member
        async def hello(ctx, input):
            return f"hello {input}"

        async def test_app(podium_app):
            assert (await podium_app.run(hello, "you")).unwrap() == "hello you"

        def test_sync(podium_app):
            assert podium_app.run_sync(hello, "you").unwrap() == "hello you"

        async def test_both(podium_app, fake_clock):
            assert podium_app.clock is fake_clock
        """,
        "-W",
        "error",
    )
    assert ran["code"] == 0, ran["text"]
