"""`podium doctor`: which models can be asked from here, and (`--online`) whether their providers answer.

What a provider needs is read from the environment and from credentials files; what was found is named, its value never
shown. Online, each provider that is set up is asked something that costs nothing (`HttpModel.check`), all at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import importlib.util
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from .checks import Check

if TYPE_CHECKING:
    from podium.config import Config
    from podium.models.transport import HttpTransport

GROUP = "Models"
PATIENCE = 10.0
"""Seconds a provider has for its answer."""
LONGEST = 15.0
"""Seconds for all that is needed to ask it, such as a token."""
OLD = 120
"""Days after which prices are called old."""
SERVERS = {"vLLM": 8000, "LM Studio": 1234, "llama.cpp": 8080}
"""Servers of models that speak Chat Completions, and the ports they use on this machine by default."""
_OLLAMA_PORT = 11434


class Provider(msgspec.Struct, frozen=True):
    """What one provider needs."""

    name: str
    keys: tuple[str, ...]
    """Variables that hold a credential; each may be a file's instead (`NAME_FILE`)."""
    address: str
    """The variable that holds its address."""
    probe: str
    """A model that is asked about when no other is configured."""
    remedy: str
    also: tuple[str, ...] = ()
    """Other names for models of the same provider."""
    needs_address: bool = False
    extra: str = ""
    """The extra whose library finds credentials of this machine when no key is set."""
    module: str = ""
    """What that extra installs."""


PROVIDERS = (
    Provider(
        "anthropic",
        ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
        "ANTHROPIC_BASE_URL",
        "claude-haiku-5-5",
        "export ANTHROPIC_API_KEY=…",
    ),
    Provider(
        "openai",
        ("OPENAI_API_KEY",),
        "OPENAI_BASE_URL",
        "gpt-6-luna",
        "export OPENAI_API_KEY=…",
        also=("openai-responses",),
    ),
    Provider(
        "azure",
        ("AZURE_OPENAI_AD_TOKEN", "AZURE_OPENAI_API_KEY"),
        "AZURE_OPENAI_ENDPOINT",
        "doctor",
        "export AZURE_OPENAI_ENDPOINT=https://RESOURCE.openai.azure.com AZURE_OPENAI_API_KEY=…",
        needs_address=True,
        extra="azure",
        module="azure.identity",
    ),
    Provider(
        "gemini",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "GOOGLE_GEMINI_BASE_URL",
        "gemini-3.8-flash",
        "export GEMINI_API_KEY=…",
    ),
    Provider(
        "vertex",
        ("GOOGLE_VERTEX_ACCESS_TOKEN",),
        "GOOGLE_VERTEX_BASE_URL",
        "gemini-3.8-flash",
        "export GOOGLE_CLOUD_PROJECT=… and log in: gcloud auth application-default login",
        extra="vertex",
        module="google.auth",
    ),
)


def checks(config: Config | None, *, online: bool = False) -> list[Check]:
    """The section on models. `config` is None when the settings are broken. Sends nothing unless `online`."""
    found = [
        Check(GROUP, "offline", True, "rules, no language model: no key, no network, no cost"),
        *([] if config is None or config.model in (None, "offline") else [_default(config)]),
        *(_provider(provider) for provider in PROVIDERS),
        _ollama(),
        *_servers(),
    ]
    if online:
        found = _asked(found, config)
    return [*found, _prices()]


# ------------------------------------------------------------------------------------------------------ what is set up


def _default(config: Config) -> Check:
    """The model of agents that name none."""
    from podium.core.errors import ConfigurationError
    from podium.models.providers import resolve
    from podium.models.transport import shown

    name = config.model or ""
    at = f" at {shown(config.base_url)}" if config.base_url else ""
    try:
        resolve(name, base_url=config.base_url)
    except ConfigurationError as error:
        remedy = "correct the settings: podium.toml, PODIUM_MODEL, PODIUM_BASE_URL"
        return Check(GROUP, "default", False, str(error), remedy, required=True)
    except ImportError as error:
        return Check(GROUP, "default", False, _lacking(name, error), "install Podium again", required=True)
    return Check(GROUP, "default", True, f"{name}{at}: the model of agents that name none", configured=True)


def _provider(provider: Provider) -> Check:
    from podium.models.endpoint import environment
    from podium.models.transport import shown

    names = f"models named {' and '.join(f'{name}:NAME' for name in (provider.name, *provider.also))}"
    address = environment(provider.address)
    at = f"; asked at {shown(address)} ({provider.address})" if address else ""
    known, key = _key(provider)
    if key is not None and not known:
        return Check(GROUP, provider.name, False, key, f"correct it, or {provider.remedy}", configured=True)
    ambient, meant = ("", True) if key else _ambient(provider)
    meant = meant or bool(address)
    key = key or ambient or _keyless(provider, address)
    if key and (address or not provider.needs_address):
        return Check(GROUP, provider.name, True, f"{key}{at}: {names}", configured=meant)
    found = f"; {key}, but no {provider.address}" if key else f"; {provider.address} is set, but no key" if at else ""
    return Check(GROUP, provider.name, False, f"for {names}{found}", _remedy(provider))


def _keyless(provider: Provider, address: str) -> str:
    """A server of one's own needs no key; a resource of Azure's does, unless it is a stand-in on this machine."""
    from podium.models.transport import is_loopback

    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        host = ""
    return "no key" if address and (not provider.needs_address or is_loopback(host)) else ""


def _key(provider: Provider) -> tuple[bool, str | None]:
    """Where the credential is, if there is one; what is wrong with it, if it cannot be used."""
    from podium.core.errors import ConfigurationError, ModelError
    from podium.models.endpoint import credential, environment

    for variable in provider.keys:
        place = variable if environment(variable) else f"{variable}_FILE"
        try:
            if credential(None, variable).value:
                return True, f"key from {place}"
        except (ConfigurationError, ModelError) as error:
            return False, str(error)
        if environment(place):
            return False, f"the file that {place} names is empty"
    return False, None


def _ambient(provider: Provider) -> tuple[str, bool]:
    """The credentials of this machine that the extra's library would find, as far as can be told without asking it,
    and whether they are there for this provider's sake."""
    if not provider.extra or not installed(provider.module):
        return "", False
    extra = f"(extra {provider.extra})"
    if provider.name == "azure":
        return f"this machine's own identity {extra}", True
    project = bool(os.environ.get("GOOGLE_CLOUD_PROJECT", "").strip())
    if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", "").strip():
        return f"credentials from GOOGLE_APPLICATION_CREDENTIALS {extra}", project
    folder = os.environ.get("CLOUDSDK_CONFIG", "").strip() or str(Path.home() / ".config" / "gcloud")
    if (Path(folder) / "application_default_credentials.json").is_file():
        return f"this machine's login with gcloud {extra}", project
    # On Google's own machines credentials come over the network; a project is the sign that they are meant.
    return (f"credentials of this machine, if it is one of Google's {extra}", False) if project else ("", False)


def _remedy(provider: Provider) -> str:
    if not provider.extra or installed(provider.module):
        return provider.remedy
    return f'{provider.remedy}; without a key: pip install "podium[{provider.extra}]"'


def installed(module: str) -> bool:
    """Whether a module can be imported. It is not, but the packages around it are."""
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # the package around it is not there
        return False


def _ollama() -> Check:
    from podium.models.endpoint import environment
    from podium.models.transport import shown

    host = environment("OLLAMA_HOST")
    if host:
        at = shown(host) if "://" in host else shown(f"http://{host}").removeprefix("http://")
        return Check(GROUP, "ollama", True, f"at {at} (OLLAMA_HOST): models named ollama:NAME", configured=True)
    if _listens(_OLLAMA_PORT):
        detail = f"something answers on port {_OLLAMA_PORT} of this machine: models named ollama:NAME"
        return Check(GROUP, "ollama", True, detail)
    remedy = "start it here (ollama serve), or export OLLAMA_HOST=…"
    return Check(GROUP, "ollama", False, "for models named ollama:NAME, free and on your own machine", remedy)


def _servers() -> Iterator[Check]:
    for name, port in SERVERS.items():
        if _listens(port):
            detail = f"something answers on port {port} of this machine (no key needed)"
            yield Check(GROUP, name, True, f"{detail}: --model openai:NAME --base-url http://localhost:{port}/v1")


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
        return True
    return False


def _prices() -> Check:
    from podium.models.prices import table_info

    info = table_info()
    age = (datetime.datetime.now(datetime.UTC).date() - datetime.date.fromisoformat(info.date)).days
    if age > OLD:
        remedy = "upgrade Podium, or give prices of your own for the models you use"
        return Check(GROUP, "prices", True, f"{info}: {age} days old", remedy)
    return Check(GROUP, "prices", True, str(info))


# ------------------------------------------------------------------------------------------------------------- asking


def _asked(found: list[Check], config: Config | None) -> list[Check]:
    """The checks after asking, at once, every server that is said to be there."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_ask_all(found, config))
    finally:
        # Not asyncio.run: it would wait for threads in which a library still looks for credentials.
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _ask_all(found: list[Check], config: Config | None) -> list[Check]:
    from podium.models.transport import HttpTransport

    transport = HttpTransport(connect_timeout=PATIENCE)
    try:
        asking = [_ask(check, config, transport) if check.ok else _unasked(check) for check in found]
        return list(await asyncio.gather(*asking))
    finally:
        await transport.aclose()


async def _unasked(check: Check) -> Check:
    # A credential that cannot be read is a provider that fails, without asking it.
    return msgspec.structs.replace(check, online=False) if check.configured else check


async def _ask(check: Check, config: Config | None, transport: HttpTransport) -> Check:
    from podium.core.errors import ConfigurationError, StepFailed
    from podium.models.providers import resolve
    from podium.models.wire import HttpModel

    name, base_url, api_key = _probe(check, config)
    if not name:
        return check
    try:
        model = resolve(name, base_url=base_url, api_key=api_key, transport=transport)
    except ConfigurationError as error:
        return _failed(check, str(error))
    except ImportError as error:
        return _failed(check, _lacking(name, error))
    if not isinstance(model, HttpModel):
        return check
    try:
        async with asyncio.timeout(LONGEST):
            said = await model.check(timeout=PATIENCE)
    except TimeoutError:
        return _failed(check, f"{name.partition(':')[0]} did not answer within {LONGEST:g} seconds: check the network")
    except (StepFailed, ConfigurationError) as error:
        return _failed(check, str(error))
    finally:
        await model.aclose()
    return msgspec.structs.replace(check, detail=f"{check.detail}; {said}", online=True)


def _probe(check: Check, config: Config | None) -> tuple[str, str | None, str | None]:
    """What is asked for a check: the name of a model, a base URL and a key; an empty name for nothing."""
    if check.name == "default" and config is not None:
        return config.model or "", config.base_url, None
    if check.name in SERVERS:
        return "openai:any", f"http://127.0.0.1:{SERVERS[check.name]}/v1", ""
    if check.name == "ollama":
        return "ollama:any", None, None
    names = [f"{provider.name}:{provider.probe}" for provider in PROVIDERS if provider.name == check.name]
    return names[0] if names else "", None, None


def _lacking(name: str, error: ImportError) -> str:
    return f"models named {name.partition(':')[0]}:NAME are not available in this installation ({error})"


def _failed(check: Check, why: str) -> Check:
    return msgspec.structs.replace(check, ok=False, detail=why, online=False)
