"""Secrets out of plain JSON: what may be shown in logs, listings and the journal.

Two tests: the name of a key (`password`, `api_key`, `Authorization`), and the shape of a text (keys of well-known
services, tokens, private keys, credentials in an address). It is a net under careless code, not a proof: a secret
without a telling name or shape passes. It knows nothing of personal data (`podium.policy`) and changes nothing in
place: a value without secrets is returned as the same object, so that the common case costs one look. What stands in
the place of a secret is its caller's to say: `[redacted]`, or a token that a vault knows (`podium.runtime.vault`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias, cast

Json: TypeAlias = Any
"""Plain JSON: str, int, float, bool, None, and lists and string-keyed dicts of such."""

REDACTED: Final = "[redacted]"
"""What stands where a secret was."""

Hide: TypeAlias = Callable[[Json], str]
"""Gives what is shown in place of a secret: a text, or the value of a key that names one."""


def _mark(_: Json) -> str:
    return REDACTED


SHORTEST: Final = 10
"""Texts shorter than this match no pattern; they are judged by their key alone."""

DEEPEST: Final = 64
"""Values nested deeper than this are replaced as a whole."""

SHORTEST_TOLD: Final = 8
"""Secrets shorter than this are not looked for in other texts: they would take ordinary words out of them."""

WORD: Final = re.compile(r"[a-z]{1,31}|[A-Z]{1,31}|[A-Z][a-z]{1,30}|\d{1,9}")
"""A single word or a number: no secret by itself, whatever it is called."""

LONGEST_KNOWN: Final = 64
"""Keys longer than this are judged anew each time, so that the memo stays small."""

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS: Final = frozenset(
    [
        "password",
        "passwords",
        "passwd",
        "pwd",
        "passphrase",
        "passcode",
        "secret",
        "secrets",
        "authorization",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "apikey",
        "apikeys",
        "accesskey",
        "secretkey",
        "privatekey",
        "bearer",
        "jwt",
        "otp",
    ]
)
_KEY_OWNERS: Final = frozenset(
    ["api", "access", "private", "secret", "signing", "encryption", "account", "master", "service", "ssh", "audit"]
)
_TOKEN_OWNERS: Final = frozenset(
    ["api", "access", "auth", "refresh", "id", "bearer", "session", "csrf", "xsrf", "bot", "user", "personal"]
)
_HARMLESS_TOKENS: Final = frozenset(
    ["page", "next", "previous", "continuation", "sync", "cursor", "start", "max", "min", "stop", "eos", "pad"]
)
_RUN_TOGETHER: Final = (
    "password", "passwd", "secret", "apikey", "accesskey", "secretkey", "privatekey",
    "accesstoken", "authtoken", "refreshtoken", "apitoken", "sessiontoken", "bearertoken",
)  # fmt: skip

# One alternation a kind of prefix, so that a text is only searched for what its characters allow.
_TOKENS: Final = re.compile(
    r"(?:AKIA|ASIA)[A-Z0-9]{16}"  # AWS access key ids
    r"|AIza[0-9A-Za-z_-]{30,}|ya29\.[0-9A-Za-z_.-]{20,}"  # Google: keys and access tokens
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
    r"|xox[abceoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"
    r"|hooks\.slack\.com/services/[A-Za-z0-9/_-]{10,}"
    r"|(?<![A-Za-z0-9])[sr]k[-_][A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic, Stripe
    r"|(?<![A-Za-z0-9])(?:hf|npm|pypi)[-_][A-Za-z0-9_-]{20,}"
    r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"  # JSON web tokens
    r"|-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_DIGIT: Final = re.compile(r"\d")
_HEADER: Final = re.compile(
    r"(\b(?:bearer|basic)\s+)(?=[A-Za-z0-9._~+/-]*[0-9=])([A-Za-z0-9._~+/-]{10,}=*)", re.IGNORECASE
)
_ADDRESS: Final = re.compile(r"(://[^/\s:@]{0,256}:)([^/\s@]{1,1024})(?=@)")
# A digit and a letter are asked for, so that code (`token: Token`, `password = read_password()`) stays readable.
_ASSIGNED: Final = re.compile(
    r"((?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)"
    r"[\"']?\s{0,8}[=:]\s{0,8}[\"']?)"
    r"(?=[^\s\"',;&<>(){}\[\]]{0,256}\d)(?=[^\s\"',;&<>(){}\[\]]{0,256}[A-Za-z])"
    r"([^\s\"',;&<>(){}\[\]]{6,})(?![\w(\[])",
    re.IGNORECASE,
)
_A_MARKS: Final = ("AKIA", "ASIA", "AIza", "ya29.")
_DASH_MARKS: Final = ("sk-", "rk-", "xox", "xapp-", "glpat-", "hf-", "npm-", "pypi-", "-----BEGIN")
_SCORE_MARKS: Final = ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "sk_", "rk_", "hf_", "npm_", "pypi_")
_NAME_MARKS: Final = ("passw", "passphrase", "secret", "token", "key", "credential")


def _names_secret(key: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(key)]
    if not words:
        return False
    if not _SECRET_WORDS.isdisjoint(words) or "".join(words).endswith(_RUN_TOGETHER):
        return True
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "token":
        return before not in _HARMLESS_TOKENS
    if last == "tokens":
        return before in _TOKEN_OWNERS
    if last in {"key", "keys"}:
        return before in _KEY_OWNERS
    return last == "auth"


_known_key = functools.lru_cache(maxsize=4096)(_names_secret)


def is_sensitive(key: str) -> bool:
    """Whether a key of this name usually holds a secret (`access_token` yes, `max_tokens` and `page_token` no)."""
    return _known_key(key) if len(key) <= LONGEST_KNOWN else _names_secret(key[:1024])


def _holds(text: str, marks: tuple[str, ...]) -> bool:
    for mark in marks:  # noqa: SIM110 - `any` with a generator costs more than the search itself
        if mark in text:
            return True
    return False


def _worth_a_search(text: str) -> bool:
    """A look at single characters, so that ordinary text is not searched for a dozen prefixes."""
    return (
        ("A" in text and _holds(text, _A_MARKS))
        or "eyJ" in text
        or ("-" in text and _holds(text, _DASH_MARKS))
        or ("_" in text and _holds(text, _SCORE_MARKS))
        or ("/" in text and "hooks.slack.com" in text)
    )


def _token(found: re.Match[str], hide: Hide) -> str:
    """What replaces a token, but for hyphenated words that merely begin like one (`sk-learn-compatible-models`)."""
    text = found[0]
    return text if text[:2] in {"sk", "rk"} and not _DIGIT.search(text) else hide(text)


def redact_text(text: str, hide: Hide = _mark) -> str:
    """`text` with every recognised secret replaced by `[redacted]` (or by what `hide` gives for it); the same object
    when there is none."""
    if len(text) < SHORTEST:
        return text

    def second(found: re.Match[str]) -> str:
        return found[1] + hide(found[2])

    cleaned = _TOKENS.sub(lambda found: _token(found, hide), text) if _worth_a_search(text) else text
    if "://" in text and "@" in text:
        cleaned = _ADDRESS.sub(second, cleaned)
    if "earer" in text or "asic" in text or "EARER" in text or "ASIC" in text:
        cleaned = _HEADER.sub(second, cleaned)
    if ("=" in text or ":" in text) and _holds(text.lower(), _NAME_MARKS):
        cleaned = _ASSIGNED.sub(second, cleaned)
    return text if cleaned == text else cleaned


def redact(value: Json, *, bound: int | None = None, hide: Hide = _mark) -> Json:
    """Plain JSON without secrets, and with `bound` at most about that many characters of it.

    The value of a sensitive key is replaced as a whole (booleans, None and empty texts stay); texts and keys have
    recognised secrets replaced. What is cut off by `bound` is counted in its place (`… 1200 more characters`). Returns
    the same object when nothing had to change; never changes `value` itself.
    """
    cleaned = _redacted_object(value, DEEPEST, hide) if type(value) is dict else _redacted(value, DEEPEST, hide)  # pyright: ignore[reportUnknownArgumentType] - any dict
    if bound is None or _size(cleaned, bound) <= bound:
        return cleaned
    return _cut(cleaned, [max(bound, 0)])


def secrets_in(value: Any) -> list[str]:
    """The texts that are secrets in plain JSON, the longest first: not short ones, nor single words and numbers."""
    found: dict[str, None] = {}

    def note(secret: Any) -> str:
        for text in _texts_of(secret):
            if len(text) >= SHORTEST_TOLD and not WORD.fullmatch(text):
                found[text] = None
        return REDACTED

    redact(value, hide=note)
    return sorted(found, key=lambda text: (-len(text), text))


def spellings(secret: str) -> list[str]:
    """How a text may be written in others: as it is, in JSON, in Python's `repr`, in an address; the longest first.

    Not encoded as a whole (base64): what comes before it would change every character.
    """
    import json  # here, with the next: few processes have a secret to look for, and all of them import this module
    import urllib.parse

    quoted = [json.dumps(secret, ensure_ascii=pure)[1:-1] for pure in (False, True)]
    found = [secret, *quoted, *[text.replace("/", "\\/") for text in quoted], repr(secret)[1:-1]]
    data = secret.encode("utf-8", "surrogatepass")
    found += [urllib.parse.quote_from_bytes(data, safe=safe) for safe in ("", "/", "/:@!$&'()*+,;=")]
    found += [urllib.parse.quote_plus(data)]
    return sorted(dict.fromkeys(found), key=len, reverse=True)


def without(secrets: Sequence[str], value: Json, depth: int = DEEPEST) -> Json:
    """Plain JSON with `[redacted]` wherever a text holds one of the secrets; the same object when none does."""
    if not secrets:
        return value
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, REDACTED) if secret in value else value
        return value
    if isinstance(value, dict | list | tuple) and depth == 0:
        return REDACTED
    if isinstance(value, dict):
        entries = cast("dict[Any, Json]", value)
        fresh = {without(secrets, key): without(secrets, item, depth - 1) for key, item in entries.items()}
        return entries if all(map(_same, fresh.items(), entries.items())) else fresh
    if isinstance(value, list | tuple):
        items = cast("Sequence[Json]", value)
        texts = [without(secrets, item, depth - 1) for item in items]
        return items if all(new is old for new, old in zip(texts, items, strict=True)) else texts
    return value


def _same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    return one[0] is other[0] and one[1] is other[1]


def _texts_of(value: Json) -> Iterator[str]:
    """The texts in plain JSON, however deep."""
    rest = [value]
    while rest:
        each = rest.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            rest.extend(cast("dict[str, Json]", each).values())
        elif isinstance(each, list | tuple):
            rest.extend(cast("Sequence[Json]", each))


def _redacted(value: Json, depth: int, hide: Hide) -> Json:
    kind: type[object] = type(value)  # pyright: ignore[reportUnknownVariableType] - plain JSON
    if kind is str:
        return redact_text(value, hide) if len(value) >= SHORTEST else value
    if kind is int or kind is bool or value is None or kind is float:
        return value
    if depth == 0:
        return hide(value)
    if issubclass(kind, dict):
        return _redacted_object(value, depth - 1, hide)
    if issubclass(kind, list | tuple):
        return _redacted_array(value, depth - 1, hide)
    return value


def _redacted_object(value: dict[str, Json], depth: int, hide: Hide) -> dict[str, Json]:
    changed: dict[str, Json] | None = None
    for key, item in value.items():
        size = len(key)
        if _known_key(key) if size <= LONGEST_KNOWN else _names_secret(key[:1024]):
            fresh = item if item is None or item == "" or isinstance(item, bool) else hide(item)
        else:
            kind: type[object] = type(item)  # pyright: ignore[reportUnknownVariableType] - plain JSON
            if kind is str:
                fresh = item if len(item) < SHORTEST else redact_text(item, hide)
            else:
                fresh = item if kind is int else _redacted(item, depth, hide)
        shown = key if size < SHORTEST else redact_text(key)
        if changed is None:
            if fresh is item and shown is key:
                continue
            changed = {}
            for earlier, kept in value.items():
                if earlier is key:
                    break
                changed[earlier] = kept
        changed[shown] = fresh
    return value if changed is None else changed


def _redacted_array(value: list[Json], depth: int, hide: Hide) -> list[Json]:
    fresh = [_redacted(item, depth, hide) for item in value]
    return fresh if any(new is not old for new, old in zip(fresh, value, strict=True)) else value


def _size(value: Json, enough: int) -> int:
    """About how many characters `value` takes as text; counting stops once it is more than `enough`."""
    if isinstance(value, str):
        return len(value) + 2
    total = 2
    if isinstance(value, dict):
        for key, item in cast("dict[str, Json]", value).items():
            total += len(str(key)) + 4 + _size(item, enough - total)
            if total > enough:
                break
    elif isinstance(value, list | tuple):
        for item in cast("list[Json]", value):
            total += 1 + _size(item, enough - total)
            if total > enough:
                break
    else:
        total = 5
    return total


def _cut(value: Json, room: list[int]) -> Json:
    """`value` within `room[0]` characters, which it uses up."""
    if isinstance(value, str):
        kept = value[: max(room[0], 0)]
        room[0] -= len(kept) + 2
        return value if len(kept) == len(value) else f"{kept}… {len(value) - len(kept)} more characters"
    if isinstance(value, dict):
        entries = cast("dict[str, Json]", value)
        short: dict[str, Json] = {}
        for key, item in entries.items():
            if room[0] <= 0 or len(str(key)) > room[0]:
                short["…"] = f"{len(entries) - len(short)} more entries"
                break
            room[0] -= len(str(key)) + 4
            short[key] = _cut(item, room)
        return short
    if isinstance(value, list | tuple):
        items = cast("list[Json]", value)
        kept_items: list[Json] = []
        for item in items:
            if room[0] <= 0:
                kept_items.append(f"… {len(items) - len(kept_items)} more items")
                break
            room[0] -= 1
            kept_items.append(_cut(item, room))
        return kept_items
    room[0] -= 5
    return value
