"""Where an Ollama server is, in the forms people write it: those of OLLAMA_HOST, and base URLs. Pure.

The forms are those of Ollama's own programs: https://docs.ollama.com/faq (OLLAMA_HOST). A scheme's own port counts when
one is written (`https://box` is port 443), and 11434 when none is.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from podium.core.errors import ConfigurationError
from podium.models import endpoint
from podium.models.transport import shown

LOCAL = "http://127.0.0.1:11434"
PORT = 11434
CLOUD = "ollama.com"

# What people paste behind the address; it is added again.
_PASTED = ("/api/chat", "/api/tags", "/api", "/v1")
# Addresses a server listens on, which not every system lets a client connect to.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  (nothing is bound here)


def base_of(given: str) -> SplitResult:
    """The server that `given` names: `box`, `box:1234`, `:1234`, `0.0.0.0`, `[::1]:1234`, `https://box/path`; `""` is
    this machine.

    Raises ConfigurationError for what names none.
    """
    given = given.strip().strip("\"'").strip()
    try:
        parts = urlsplit(_url(given))
        host, port = parts.hostname or "127.0.0.1", parts.port
        whole = parts.scheme in ("http", "https") and port != 0 and not any(map(str.isspace, parts.netloc))
    except ValueError:  # brackets that do not close, a port that is no number
        host, port, parts, whole = "", None, urlsplit(""), False
    if not whole:
        raise ConfigurationError(
            f"host must be like 127.0.0.1:11434, box.lan or https://box.lan, not {shown(given) or given!r}: "
            "correct host= (or base_url=, OLLAMA_HOST)"
        )
    if port is None and "://" not in given:
        port = PORT
    user, at, _ = parts.netloc.rpartition("@")
    host = _EVERYWHERE.get(host, f"[{host}]" if ":" in host else host)
    path = parts.path.rstrip("/")
    for pasted in _PASTED:
        path = path.removesuffix(pasted)
    netloc = f"{user}{at}{host}" + (f":{port}" if port else "")
    return endpoint.split(parts._replace(netloc=netloc, path=path).geturl(), LOCAL)


def _url(given: str) -> str:
    if "://" in given:
        return given
    try:
        bare = ipaddress.ip_address(given)
    except ValueError:
        return f"http://{given}"
    return f"http://[{given}]" if bare.version == 6 else f"http://{given}"
