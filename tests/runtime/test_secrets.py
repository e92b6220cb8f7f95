"""Secrets stay out of everything that is written, and tools can still use those that members hand them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium import Agent, Podium, ToolCall, member, tool
from podium.core.codec import decode, encode
from podium.core.errors import Failure, ToolValidationError
from podium.core.records import RECORDS
from podium.models import ScriptedModel
from podium.runtime.vault import Vault, address, restored, secrets_of

ENVIRONMENT = "planted-env-5d41402abc4b2a76"
ARGUMENT = "sk-planted0argument1234567890"
PASSWORD = "correct horse 42"
RESULT = "ghp_plantedresult12345678901234567890"
ERROR = "AKIAPLANTEDERROR1234"
PLANTED = (ENVIRONMENT, ARGUMENT, PASSWORD, RESULT, ERROR)

seen: list[dict[str, Any]] = []


@tool(effect="idempotent")
def login(user: str, password: str, note: str = "") -> dict[str, str]:
    """Log in."""
    seen.append({"user": user, "password": password, "note": note})
    return {"session": "s-1", "access_token": RESULT, "text": f"use {RESULT} or {ENVIRONMENT}"}


@tool(effect="read", retries=1)
def broken(where: str) -> str:
    """Fail, telling too much."""
    raise ConnectionError(f"cannot reach https://user:{PASSWORD.replace(' ', '-')}@{where} with {ERROR} {ENVIRONMENT}")


@tool(effect="write", approval="always")
def send(to: str, api_key: str) -> str:
    """Send something."""
    seen.append({"to": to, "api_key": api_key})
    return "sent"


def script(request: Any) -> Any:
    last = request.messages[-1]
    if last.role == "user":
        args = {"user": "ada", "password": PASSWORD, "note": f"with {ARGUMENT} {ENVIRONMENT}"}
        return [ToolCall("login", args), ToolCall("broken", {"where": "example.com"})]
    return "done, and here is " + ENVIRONMENT


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def vault_of(key: str, known: Iterable[str] = ()) -> Vault:
    return Vault(lambda: key.encode() * 32, known)


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen.clear()
    monkeypatch.setenv("PLANTED_API_KEY", ENVIRONMENT)


async def test_planted_secrets_are_in_no_record_no_event_no_log_and_no_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    agent = Agent("a", ScriptedModel(script), [login, broken])
    async with Podium(tmp_path / "runs.db", cost_callback=lambda _agent, _cost: 1 / 0) as app:
        stream = app.stream(agent, f"log in; the key is {ENVIRONMENT}")
        events = [str(event) + repr(encode(event)) async for event in stream if isinstance(event, RECORDS)]
        logging.getLogger("podium").error("it failed with %s and %s", ENVIRONMENT, ERROR)
        run = (await app.runs())[0]
        result = await app.handle(run.id).result()
    everything = {
        "store": written(tmp_path),
        "events": "".join(events).encode(),
        "logs": caplog.text.encode(),
        "result": repr((result.output, result.error, result.messages, result.steps)).encode(),
    }
    found = [(place, secret) for place, data in everything.items() for secret in PLANTED if secret.encode() in data]
    assert found == []
    assert result.status == "succeeded"


async def test_the_question_about_a_write_in_doubt_tells_no_secret(tmp_path: Path) -> None:
    @tool(effect="write")
    def half(to: str) -> str:
        """Fail after a part of the work, telling too much."""
        raise RuntimeError(f"half done; password={PASSWORD.replace(' ', '-')} {ERROR} {ENVIRONMENT}")

    async with Podium(tmp_path / "runs.db") as app:
        result = await Agent("a", ScriptedModel([ToolCall("half", {"to": "x"})]), [half]).run("go", app=app)
        [item] = result.pending
        assert (item.why, "half done; password=[redacted]" in item.prompt) == ("in_doubt", True)
    planted = (PASSWORD.replace(" ", "-"), ERROR, ENVIRONMENT)
    assert [secret for secret in planted if secret.encode() in written(tmp_path)] == []


async def test_a_tool_gets_the_secret_that_the_journal_does_not_have(tmp_path: Path) -> None:
    agent = Agent("a", ScriptedModel(script), [login, broken])
    async with Podium(tmp_path / "runs.db") as app:
        await agent.run("log in", app=app)
    assert seen[0]["password"] == PASSWORD
    assert ARGUMENT in seen[0]["note"]
    assert ENVIRONMENT not in seen[0]["note"], "a secret of the environment is given to no tool by a model"


async def test_a_secret_that_a_tool_returned_can_be_handed_to_the_next(tmp_path: Path) -> None:
    def relay(request: Any) -> Any:
        last = request.messages[-1]
        if last.role == "user":
            return ToolCall("login", {"user": "ada", "password": PASSWORD})
        if len(seen) == 1:
            token = last.parts[0].content.split('"access_token":"')[1].split('"')[0]
            assert token.startswith("[sealed:"), last.parts[0].content
            return ToolCall("login", {"user": "bob", "password": token})
        return "done"

    async with Podium(tmp_path / "runs.db") as app:
        result = await Agent("a", ScriptedModel(relay), [login]).run("log in", app=app)
    assert result.output == "done"
    assert seen[1]["password"] == RESULT


async def _approved_after_a_restart(folder: Path, *, between: Callable[[Podium], Awaitable[Any]] | None = None) -> Any:
    agent = Agent("a", ScriptedModel([ToolCall("send", {"to": "x", "api_key": ARGUMENT}), "went on"]), [send])
    async with Podium(folder / "runs.db") as app:
        handle = await app.start(agent, "send it")
        assert (await app.settled(handle.run_id, over=False)).status == "suspended"
    assert ARGUMENT.encode() not in written(folder)
    async with Podium(folder / "runs.db", members=[agent]) as app:
        if between is not None:
            await between(app)
        await app.handle(handle.run_id).approve()
        return await app.settled(handle.run_id, over=True)


async def test_a_secret_survives_a_restart_encrypted(tmp_path: Path) -> None:
    result = await _approved_after_a_restart(tmp_path)
    assert result.output == "went on"
    assert seen == [{"to": "x", "api_key": ARGUMENT}]
    assert ARGUMENT.encode() not in written(tmp_path)


async def test_a_secret_that_was_forgotten_is_asked_for_again_and_not_guessed(tmp_path: Path) -> None:
    result = await _approved_after_a_restart(tmp_path, between=lambda app: app.store.clear_cache())
    assert seen == []
    assert "ask for it again" in str(result.messages)


async def test_secrets_are_erased_with_the_last_token_that_stands_for_them(tmp_path: Path) -> None:
    async def kept(app: Podium) -> int:
        return (await app.store.cache_size()).entries

    agent = Agent("a", ScriptedModel([ToolCall("login", {"user": "ada", "password": PASSWORD}), "done"]), [login])
    async with Podium(tmp_path / "runs.db") as app:
        result = await agent.run("log in", app=app)
        assert await kept(app) == 2, "the password, and what the tool returned"
        [step] = [entry.key async for entry in app.audit.show() if entry.event == "tool"]
        await app.audit.erase(result.run_id, step=step)
        assert await kept(app) == 1, "the model's call holds the token of the password still"
        await app.audit.erase(result.run_id)
        assert await kept(app) == 0
        assert (await app.audit.verify()).ok


async def test_without_the_key_a_kept_secret_opens_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_AUDIT_KEY", "the first key of this store")
    agent = Agent("a", ScriptedModel([ToolCall("send", {"to": "x", "api_key": ARGUMENT}), "went on"]), [send])
    async with Podium(tmp_path / "runs.db") as app:
        handle = await app.start(agent, "send it")
        await app.settled(handle.run_id, over=False)
    monkeypatch.setenv("PODIUM_AUDIT_KEY", "another key of this store")
    async with Podium(tmp_path / "runs.db", members=[agent]) as app:
        await app.handle(handle.run_id).approve()
        result = await app.settled(handle.run_id, over=True)
    assert seen == []
    assert "ask for it again" in str(result.messages)


async def test_an_approver_who_edits_one_argument_leaves_the_redacted_ones_as_they_were(tmp_path: Path) -> None:
    @member
    async def caller(ctx: Any, _input: Any) -> Any:
        return await ctx.tool("send", {"to": "x", "api_key": ARGUMENT})

    async with Podium(tmp_path / "runs.db", tools=[send]) as app:
        handle = await app.start(caller, "go")
        pending = (await app.settled(handle.run_id, over=False)).pending[0]
        shown = pending.args
        assert ARGUMENT not in str(shown)
        await handle.approve(pending.request, args={**shown, "to": "y"})
        assert (await handle.result()).output == "sent"
    assert seen == [{"to": "y", "api_key": ARGUMENT}]
    assert ARGUMENT.encode() not in written(tmp_path)


async def test_what_the_app_is_told_is_secret_is_masked_whatever_it_looks_like(tmp_path: Path) -> None:
    @member
    async def teller(ctx: Any, input: str) -> str:
        return f"the word is {input}"

    async with Podium(tmp_path / "runs.db", secrets=["rosebud and more"]) as app:
        result = await teller.run("rosebud and more", app=app)
    assert result.output == "the word is [redacted]******"
    assert b"rosebud" not in written(tmp_path)


def test_only_values_that_are_more_than_a_word_count_as_secrets_of_the_environment() -> None:
    environ = {
        "DB_PASSWORD": "postgres",
        "GOOGLE_APPLICATION_CREDENTIALS": "/etc/a/rather/long/path/to/the/keys.json",
        "SSH_AUTH": str(Path(__file__).parent),
        "OLDPWD": "/somewhere/else/0123456789/abcdef",
        "SESSION_TOKEN": "t0k3n-value",
        "HOME": "secret-looking-1",
    }
    assert secrets_of(environ) == ["t0k3n-value"]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=20) | st.just(ARGUMENT),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "password", "note", "api_key", "token"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_opening_undoes_sealing(value: Any) -> None:
    vault = vault_of("k")
    sealed = vault.seal(value)
    assert vault.open(sealed) == value
    assert vault.seal(sealed) == sealed, "sealing twice seals nothing more"
    assert ARGUMENT not in str(sealed)


@given(values, st.text(min_size=8, max_size=30))
def test_masked_data_decodes_and_has_no_known_secret(value: Any, secret: str) -> None:
    vault = vault_of("k", [secret])
    masked = decode(vault.mask(encode({"value": value, "text": f"a {secret} b"})))
    assert secret not in masked["text"] or secret in "a [redacted] b" or set(secret) <= {"*"}


@given(values.filter(lambda value: value is not None), st.binary(min_size=1, max_size=4), st.integers(0, 10**6))
def test_what_is_kept_of_a_secret_opens_for_its_token_and_key_alone(value: Any, noise: bytes, at: int) -> None:
    vault, other = vault_of("k"), vault_of("k")
    made: list[str] = []
    sealed = vault.seal({"password": value}, "acme", made)
    for token in made:
        where, data = vault.kept(token, "acme")
        assert where == address(token, "acme")
        place = at % len(data)
        altered = (
            data[:place] + bytes(a ^ b for a, b in zip(data[place:], noise, strict=False)) + data[place + len(noise) :]
        )
        for wrong in (altered, data[:-1], data + b"x", b"", vault.kept(token, "acme")[1][::-1]):
            assert wrong == data or not other.learn(token, "acme", wrong)
        assert not other.learn(token, "evil", data)
        assert not vault_of("j").learn(token, "acme", data)
        assert other.missing(sealed, "acme") == [token]
        assert other.learn(token, "acme", data)
    assert other.open(sealed, "acme") == {"password": value}


def test_a_token_of_one_tenant_opens_nothing_for_another() -> None:
    vault = vault_of("k")
    token = vault.seal({"password": PASSWORD}, "acme")
    with pytest.raises(ToolValidationError, match="ask for it again"):
        vault.open(token, "evil")


def test_a_failure_is_cleaned_in_its_message_and_its_data() -> None:
    vault = vault_of("k", [ENVIRONMENT])
    clean = vault.clean(Failure("ToolError", f"with {ERROR} and {ENVIRONMENT}", {"password": PASSWORD}))
    assert not any(secret in str(clean) + str(clean.data) for secret in PLANTED)


def test_edited_arguments_keep_what_was_not_shown() -> None:
    original = {"a": {"password": "x"}, "list": [{"token": "t"}, 2], "n": 1}
    shown = {"a": {"password": "[redacted]"}, "list": [{"token": "[redacted]"}, 2], "n": 1}
    assert restored({**shown, "n": 2}, shown, original) == {**original, "n": 2}
    assert restored({"a": {"password": "new"}}, shown, original) == {"a": {"password": "new"}}
