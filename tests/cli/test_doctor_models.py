"""`podium doctor` about models: what is set up, what is missing, and (`--online`) who answers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from podium.cli import model_checks
from podium.models import prices

from .conftest import Done

Podium = Callable[..., Done]
SECRET = "sk-not-to-be-seen-0123456789"
KEYS = {
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "vertex": "GOOGLE_VERTEX_ACCESS_TOKEN",
}
ADDRESSES = {
    "anthropic": "ANTHROPIC_BASE_URL",
    "openai": "OPENAI_BASE_URL",
    "azure": "AZURE_OPENAI_ENDPOINT",
    "gemini": "GOOGLE_GEMINI_BASE_URL",
    "vertex": "GOOGLE_VERTEX_BASE_URL",
    "ollama": "OLLAMA_HOST",
}


class Server:
    """An HTTP server on loopback that answers every GET with `status` and `body`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body: dict[str, Any] = {"data": [], "models": []}
        self.before: Callable[[], object] = lambda: None
        self.asked: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
                outer.before()
                data = json.dumps(outer.body).encode()
                with contextlib.suppress(ConnectionError):  # whoever asked may have gone
                    self.send_response(outer.status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def bare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set up, whatever the machine has."""
    for name in list(os.environ):
        if name.startswith(("ANTHROPIC_", "AZURE_", "GEMINI_", "GOOGLE_", "OLLAMA_", "CLOUDSDK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(folder))
    monkeypatch.setattr(model_checks, "SERVERS", {})
    monkeypatch.setattr(model_checks, "_OLLAMA_PORT", _unused())


def _unused() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def checked(done: Done) -> dict[str, dict[str, Any]]:
    assert SECRET not in done.out + done.err
    return {check["name"]: check for check in done.json["checks"] if check["group"] == "Models"}


def test_without_keys_each_provider_says_what_to_set(podium: Podium):
    done = podium("doctor", "--json")
    assert done.code == 0
    checks = checked(done)
    for name in (*KEYS, "azure", "ollama"):
        assert not checks[name]["ok"]
        assert checks[name]["remedy"]
        assert not checks[name]["configured"]
    assert KEYS["anthropic"] in checks["anthropic"]["remedy"]
    assert "AZURE_OPENAI_ENDPOINT" in checks["azure"]["remedy"]
    assert "ollama serve" in checks["ollama"]["remedy"]


@pytest.mark.parametrize("provider", KEYS)
def test_a_key_in_the_environment_is_named_and_not_shown(
    podium: Podium, monkeypatch: pytest.MonkeyPatch, provider: str
):
    monkeypatch.setenv(KEYS[provider], SECRET)
    check = checked(podium("doctor", "--json"))[provider]
    assert check["ok"]
    assert check["configured"]
    assert f"key from {KEYS[provider]}:" in check["detail"]
    assert check["online"] is None


@pytest.mark.parametrize("provider", KEYS)
def test_a_key_in_a_file_is_named_by_its_variable(
    podium: Podium, folder: Path, monkeypatch: pytest.MonkeyPatch, provider: str
):
    (folder / "key").write_text(SECRET + "\n")
    monkeypatch.setenv(f"{KEYS[provider]}_FILE", str(folder / "key"))
    check = checked(podium("doctor", "--json"))[provider]
    assert check["ok"]
    assert f"key from {KEYS[provider]}_FILE" in check["detail"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), ("", "is empty"), (f"{SECRET}\nand more", "characters that cannot be sent")],
    ids=["missing", "empty", "two lines"],
)
def test_a_key_file_that_cannot_be_used_is_a_failure_only_when_asked_online(
    podium: Podium, folder: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, said: str
):
    if content is not None:
        (folder / "key").write_text(content)
    monkeypatch.setenv("GEMINI_API_KEY_FILE", str(folder / "key"))
    done = podium("doctor", "--json")
    check = checked(done)["gemini"]
    assert (done.code, check["ok"]) == (0, False)
    assert said in check["detail"]
    assert "GEMINI_API_KEY_FILE" in check["detail"]
    online = podium("doctor", "--online", "--json")
    assert online.code == 1
    assert checked(online)["gemini"]["online"] is False


def test_azure_needs_its_address_and_a_key(podium: Podium, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(model_checks, "installed", lambda module: False)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", SECRET)
    check = checked(podium("doctor", "--json"))["azure"]
    assert not check["ok"]
    assert "but no AZURE_OPENAI_ENDPOINT" in check["detail"]
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://shop.openai.azure.com")
    assert checked(podium("doctor", "--json"))["azure"]["ok"]
    monkeypatch.delenv("AZURE_OPENAI_API_KEY")
    check = checked(podium("doctor", "--json"))["azure"]
    assert not check["ok"]
    assert "AZURE_OPENAI_ENDPOINT is set, but no key" in check["detail"]
    assert 'pip install "podium[azure]"' in check["remedy"]


def test_credentials_of_the_machine_count_where_their_library_is_installed(
    podium: Podium, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    (folder / "application_default_credentials.json").write_text("{}")
    monkeypatch.setattr(model_checks, "installed", lambda module: False)
    check = checked(podium("doctor", "--json"))["vertex"]
    assert not check["ok"]
    assert 'pip install "podium[vertex]"' in check["remedy"]
    monkeypatch.setattr(model_checks, "installed", lambda module: True)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://shop.openai.azure.com")
    checks = checked(podium("doctor", "--json"))
    assert "gcloud" in checks["vertex"]["detail"]
    assert not checks["vertex"]["configured"]  # a login says nothing about Vertex without a project
    assert "own identity" in checks["azure"]["detail"]
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "shop-1")
    assert checked(podium("doctor", "--json"))["vertex"]["configured"]


def test_an_address_is_shown_without_the_password_in_it(podium: Podium, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://me:{SECRET}@gateway.example/v1?key={SECRET}")
    check = checked(podium("doctor", "--json"))["openai"]
    assert check["ok"]
    assert "no key; asked at http://gateway.example/v1 (OPENAI_BASE_URL)" in check["detail"]


@pytest.mark.parametrize("provider", ADDRESSES)
def test_online_asks_what_is_set_up_and_says_that_it_answers(
    podium: Podium, monkeypatch: pytest.MonkeyPatch, server: Server, provider: str
):
    monkeypatch.setenv(ADDRESSES[provider], server.url)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "shop-1")
    monkeypatch.setattr(model_checks, "installed", lambda module: False)
    if provider != "ollama":
        monkeypatch.setenv("AZURE_OPENAI_API_KEY" if provider == "azure" else KEYS[provider], SECRET)
    done = podium("doctor", "--online", "--json")
    check = checked(done)[provider]
    assert (done.code, check["online"], check["ok"], done.json["ok"]) == (0, True, True, True)
    assert "answers HTTP 200" in check["detail"]
    ((_, headers),) = server.asked
    assert provider == "ollama" or any(SECRET in value for value in headers.values())


def test_online_asks_nobody_who_is_not_set_up(podium: Podium):
    done = podium("doctor", "--online", "--json")
    assert done.code == 0
    assert all(check["online"] is None for check in checked(done).values())


def test_a_provider_that_refuses_makes_the_command_fail_with_one_line(
    podium: Podium, monkeypatch: pytest.MonkeyPatch, server: Server
):
    server.status, server.body = 401, {"error": {"message": f"Incorrect API key provided: {SECRET}"}}
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    done = podium("doctor", "--online", "--json")
    check = checked(done)["openai"]
    assert (done.code, done.json["ok"], check["ok"], check["online"]) == (1, False, False, False)
    assert "OPENAI_API_KEY" in check["detail"]
    assert "\n" not in check["detail"]
    plain = podium("doctor", "--online")
    assert plain.code == 1
    assert "FAILED  openai" in plain.out
    assert SECRET not in plain.out


def test_a_provider_that_does_not_answer_is_not_waited_for(
    podium: Podium, monkeypatch: pytest.MonkeyPatch, server: Server
):
    over = threading.Event()
    server.before = over.wait
    monkeypatch.setattr(model_checks, "PATIENCE", 0.1)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    try:
        done = podium("doctor", "--online", "--json")
    finally:
        over.set()
    assert done.code == 1
    assert "did not answer within 0.1 seconds" in checked(done)["openai"]["detail"]


def test_all_that_asking_takes_has_an_end(podium: Podium, monkeypatch: pytest.MonkeyPatch, server: Server):
    over = threading.Event()
    server.before = over.wait
    monkeypatch.setattr(model_checks, "LONGEST", 0.1)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    try:
        done = podium("doctor", "--online", "--json")
    finally:
        over.set()
    assert done.code == 1
    assert "openai did not answer within 0.1 seconds" in checked(done)["openai"]["detail"]


def test_providers_are_asked_at_the_same_time(podium: Podium, monkeypatch: pytest.MonkeyPatch, server: Server):
    both = threading.Barrier(2, timeout=20)  # breaks, and fails the test, if one is asked after the other
    server.before = both.wait
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
    done = podium("doctor", "--online", "--json")
    assert done.code == 0
    assert checked(done)["openai"]["online"]
    assert checked(done)["gemini"]["online"]
    assert not both.broken


def test_the_model_of_the_settings_is_asked_at_its_own_address(podium: Podium, folder: Path, server: Server):
    (folder / "podium.toml").write_text(f'model = "openai:llama"\nbase_url = "{server.url}/v1"\n')
    done = podium("doctor", "--online", "--json")
    assert done.code == 0
    assert checked(done)["default"]["online"] is True
    assert [path for path, _ in server.asked] == ["/v1/models"]
    server.status = 503
    assert podium("doctor", "--online").code == 1


def test_a_model_in_the_settings_that_nobody_knows_is_broken(podium: Podium, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PODIUM_MODEL", "claude:opus")
    done = podium("doctor", "--json")
    assert done.code == 2
    assert "did you mean anthropic:opus?" in checked(done)["default"]["detail"]
    assert checked(done)["default"]["remedy"]


def test_a_server_found_on_this_machine_is_asked_and_is_nobodys_failure(
    podium: Podium, monkeypatch: pytest.MonkeyPatch, server: Server
):
    monkeypatch.setattr(model_checks, "SERVERS", {"vLLM": server.port})
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    found = checked(podium("doctor", "--json"))["vLLM"]
    assert f"--base-url http://localhost:{server.port}/v1" in found["detail"]
    asked = checked(podium("doctor", "--online", "--json"))["vLLM"]
    assert asked["online"]
    path, headers = server.asked[-1]
    assert path == "/v1/models"
    assert "authorization" not in headers  # a key is not handed to whoever listens on a port
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    server.status = 404
    done = podium("doctor", "--online", "--json")
    assert (done.code, checked(done)["vLLM"]["online"]) == (0, False)


def test_the_date_of_the_prices_is_shown_and_old_ones_are_named(podium: Podium, monkeypatch: pytest.MonkeyPatch):
    check = checked(podium("doctor", "--json"))["prices"]
    assert prices.table_info().date in check["detail"]
    monkeypatch.setattr(prices, "table_info", lambda: prices.TableInfo("somewhere", "1", "2020-01-01"))
    check = checked(podium("doctor", "--json"))["prices"]
    assert check["ok"]
    assert "days old" in check["detail"]
    assert "upgrade Podium" in check["remedy"]


@pytest.mark.parametrize("address", ["http://[broken", "http://host:port/", "not an address"])
def test_an_address_that_is_none_is_one_line(podium: Podium, monkeypatch: pytest.MonkeyPatch, address: str):
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    assert podium("doctor").code == 0
    done = podium("doctor", "--online", "--json")
    assert done.code == 1
    assert "base_url must begin with http" in checked(done)["openai"]["detail"]
