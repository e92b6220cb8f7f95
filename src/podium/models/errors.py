"""What a refusal of a model server means: its status and body as one of our model errors. No I/O.

Every message says what to do next and repeats what the server said, shortened and without credentials: servers in the
wild echo keys, answer in plain text or HTML, and report errors inside an answer with status 200.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from podium.core.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    ContextTooLong,
    MalformedReply,
    ModelError,
    ModelTimeout,
    Overloaded,
    RateLimited,
)

from .one_line import one_line

_CONTEXT = re.compile(
    r"context[ _-]?(?:length|window|size)|maximum context|prompt is too long|too many (?:input )?tokens"
    r"|exceeds? the (?:available|model'?s) context|input token count[^.]{0,60}exceeds",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content[ _-]?(?:filter|policy|management policy)|responsible_?ai|safety system"
    r"|(?:bio|cyber|misalignment)_policy|violat\w+ (?:our|the) usage polic",
    re.IGNORECASE,
)
_QUOTA = re.compile(r"insufficient[ _-](?:quota|credit|fund|balance)|billing_(?:hard_limit|not_active)", re.IGNORECASE)
_KEY = re.compile(
    r"invalid[ _-](?:x-)?api[ _-]key|incorrect api key|api_key_invalid"
    r"|api[ _-]key (?:is )?(?:not valid|invalid|expired)|authentication[ _]error|unauthorized",
    re.IGNORECASE,
)
_LIMITED = re.compile(r"rate[ _-]?limit|too many requests", re.IGNORECASE)
_REJECTED = re.compile(r"invalid[ _-]request|bad[ _-]request|model[^.]{0,60}not[ _]found|unsupported", re.IGNORECASE)


class Hints(msgspec.Struct, frozen=True):
    """What a person can do about a provider's refusals, in its own names."""

    key: str = "OPENAI_API_KEY (or api_key=)"
    """What holds the credentials."""
    wire: str = "Chat Completions"
    """What `base_url` must speak."""
    address: str = "base_url: it often has to end in /v1"
    """What to check, beside the model's name, when nothing is found at an address."""


CHAT = Hints()


class Said(msgspec.Struct, frozen=True):
    """What a server said of its failure: words for people, and its codes joined for matching."""

    text: str
    codes: str = ""
    status: int | None = None


def said(body: bytes | Mapping[str, Any]) -> Said:
    """Read an error body: OpenAI's object, a bare string, FastAPI's `detail`, vLLM's `message`, or plain text."""
    if isinstance(body, bytes):
        try:
            parsed = cast("object", msgspec.json.decode(body))
        except (msgspec.DecodeError, RecursionError):
            text = re.sub(r"(?s)<(script|style|head)\b.*?</\1>|<[^>]*>", " ", body[:8192].decode("utf-8", "replace"))
            return Said(text.strip())
    else:
        parsed = body
    if isinstance(parsed, list) and parsed:
        parsed = cast("list[object]", parsed)[0]  # Gemini's compatible endpoint wraps its error in a list
    if not isinstance(parsed, Mapping):
        return Said(str(cast("object", parsed)))
    fields = cast("Mapping[str, Any]", parsed)
    inner = cast("object", fields.get("error", fields))
    if not isinstance(inner, dict):
        return Said(str(inner))
    error = cast("dict[str, Any]", inner)
    text = error.get("message") or error.get("detail") or error.get("msg")
    if text is None:
        text = msgspec.json.encode(error).decode()
    code = error.get("code")
    status = code if isinstance(code, int) and not isinstance(code, bool) else error.get("status")
    codes = " ".join(str(error[name]) for name in ("code", "type", "status", "param") if error.get(name) is not None)
    return Said(str(text), codes, status if isinstance(status, int) and 100 <= status <= 599 else None)


def error_in_reply(fields: Mapping[str, Any]) -> bool:
    """Whether a body or stream payload is an error in spite of its status 200."""
    return bool(fields.get("error")) or fields.get("object") == "error"


def model_error(
    status: int,
    body: bytes | Mapping[str, Any],
    *,
    model: str,
    server: str = "the server",
    retry_after: float | None = None,
    secrets: Iterable[str] = (),
    partial: str = "",
    hints: Hints = CHAT,
) -> ModelError:
    """The error for an answer with this status and body.

    `server` is shown to people (scheme, host and path only). `status` 200 means that the error came inside an answer:
    then the server's own codes decide. `data` holds `status`, and `retry_after` (seconds) and `partial` when known.
    """
    words = said(body)
    text = one_line(words.text, secrets)
    if status == 200:
        status = words.status or _status_of(words)
    data: dict[str, Any] = {"status": status}
    if retry_after is not None:
        data["retry_after"] = retry_after
    if partial:
        data["partial"] = partial
    kind, advice = _kind(status, words, hints)
    where = f"{server} answered HTTP {status} for model {model!r}"
    return kind(f"{where}: {text or 'no explanation'}. {advice}", **data)


def _status_of(words: Said) -> int:
    """A status for an error that came without one, from its codes; 503 when they say nothing."""
    everything = f"{words.codes} {words.text}"
    for pattern, status in ((_QUOTA, 402), (_LIMITED, 429), (_KEY, 401), (_CONTEXT, 400), (_FILTERED, 400)):
        if pattern.search(everything):
            return status
    return 400 if _REJECTED.search(everything) else 503


def _kind(status: int, words: Said, hints: Hints) -> tuple[type[ModelError], str]:
    everything = f"{words.codes} {words.text}"
    refused = status in (401, 403) or (status == 400 and _KEY.search(everything))  # Gemini answers 400 to a wrong key
    if refused and not _FILTERED.search(words.codes):
        return AuthenticationFailed, f"Set {hints.key} to one that this server accepts"
    if status == 402 or _QUOTA.search(words.codes):
        # A spent account answers 429 too, but waiting does not help: not RateLimited, which is retried.
        return BadRequest, "The account has no credit left: add credit, or choose another model"
    if status == 429:
        return RateLimited, "Wait and try again, or lower the number of concurrent runs"
    if status in (408, 504):
        return ModelTimeout, "Try again; if it persists, ask for a shorter answer"
    if status >= 500 or status == 409:
        return Overloaded, "Try again in a moment"
    if status < 300:
        return MalformedReply, f"Check that base_url is a server of {hints.wire}"
    if status < 400:
        return BadRequest, "The server redirects: set base_url to the address it redirects to"
    if _CONTEXT.search(everything) or status == 413:
        return ContextTooLong, "Shorten the conversation or the tool results, or choose a model with a larger context"
    if _FILTERED.search(everything):
        return ContentFiltered, "Change the prompt, or the server's content filter"
    if status in (404, 405):
        return BadRequest, f"Check the model's name, and {hints.address}"
    return BadRequest, "Correct the request: a setting or message is not accepted by this model"
