"""Keys and tokens reach the provider and nothing else: no file, no log line, no error, whatever a server echoes."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from podium import Agent, Podium, Retry
from podium.models import resolve
from podium.models.endpoint import CREDENTIAL_HEADERS

from .loopback import Exchange, serving

ONCE = Retry(attempts=1)
SECRET = "plain words that look like no key at all 12"
PROVIDERS = {
    "anthropic:claude-sonnet-5-5": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    "openai:gpt-6-sol": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "openai-responses:gpt-6-sol": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "azure:my-deployment": ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"),
    "gemini:gemini-3-pro": ("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
    "vertex:gemini-3-pro": ("GOOGLE_VERTEX_ACCESS_TOKEN", "GOOGLE_VERTEX_BASE_URL"),
}
ANSWERS = {
    "an error that echoes the headers": (401, "application/json", '{{"error": {{"message": "wrong: {echo}"}}}}'),
    "a plain text that echoes them": (500, "text/plain", "failed with {echo}"),
    "an answer that is none": (200, "application/json", "not json {echo}"),
    "a stream with an error": (200, "text/event-stream", 'data: {{"error": {{"message": "{echo}"}}}}\n\n'),
}


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for names in PROVIDERS.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(f"{name}_FILE", raising=False)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    return monkeypatch


@pytest.mark.parametrize("from_file", [False, True], ids=["variable", "file"])
@pytest.mark.parametrize("answer", list(ANSWERS))
@pytest.mark.parametrize("name", list(PROVIDERS))
async def test_a_credential_is_written_nowhere(
    name: str,
    answer: str,
    from_file: bool,
    tmp_path: Path,
    no_keys: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    status, kind, body = ANSWERS[answer]
    seen: list[dict[str, str]] = []

    async def echo(exchange: Exchange) -> None:
        seen.append(exchange.headers)
        said = json.dumps(exchange.headers)[1:-1].replace('"', "'")
        await exchange.answer(status, body.format(echo=said).encode(), content_type=kind)

    key, address = PROVIDERS[name]
    if from_file:
        (tmp_path / "secret").write_text(SECRET + "\n")
        no_keys.setenv(f"{key}_FILE", str(tmp_path / "secret"))
    else:
        no_keys.setenv(key, SECRET)
    caplog.set_level(logging.DEBUG)
    store = tmp_path / "kept" / "runs.db"
    async with serving(echo) as server:
        no_keys.setenv(address, server.url.removesuffix("/v1"))
        async with Podium(store) as app:
            agent = Agent("a", model=name, retry=ONCE)
            result = await app.run(agent, "hi")
            streamed = [repr(event) async for event in app.stream(Agent("b", model=name, retry=ONCE), "hi")]
        model = resolve(name)
        shown = [repr(model), repr(result), str(result.error), *streamed]
    sent = {value for headers in seen for header, value in headers.items() if header in CREDENTIAL_HEADERS}
    assert any(SECRET in value for value in sent), "the server must have been given the credential"
    assert result.error is not None
    out, err = capfd.readouterr()
    written = [file.read_bytes() for file in store.parent.rglob("*") if file.is_file()]
    assert written
    for text in (*shown, out, err, caplog.text, *(data.decode("latin-1") for data in written)):
        assert SECRET not in text
