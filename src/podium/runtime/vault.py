"""The vault: what keeps secrets out of the journal while tools can still use them.

Two kinds of secrets are told apart. *Known* ones (values of the environment whose names say so, and what the app was
given) are masked in every record, byte by byte, at the one place where records are written; no member, model or tool
call can bring them back. *Found* ones (arguments of a model's tool calls and results of tools that look like secrets)
are sealed: a token such as `[sealed:0f3c…]` stands in the record, and so before the model, and is opened only for the
tool that is called with it. What a token stands for is kept encrypted beside the records, so that another process with
the same key can open it, and is forgotten there after a while. The vault does no I/O (`sealing` does), and knows no
run and no policy; the gate judges the opened arguments.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from podium.core.codec import decode, digest_of, encode
from podium.core.errors import Failure, ToolValidationError
from podium.core.messages import Message, Reply, ToolCall
from podium.core.redaction import REDACTED, WORD, is_sensitive, redact, redact_text, spellings, without

KEPT: Final = 4096
"""How many found secrets are remembered in memory; the oldest is forgotten first."""
SHORTEST: Final = 8
"""Known values shorter than this are not looked for: they would mask ordinary text."""
_PREFIX: Final = "[sealed:"
_TOKEN: Final = re.compile(r"\[sealed:[0-9a-f]{16}\]")
_TOKEN_BYTES: Final = re.compile(_TOKEN.pattern.encode())
_MASK: Final = re.compile(re.escape(REDACTED) + r"\**")
_PURPOSES: Final = (b"token", b"cipher", b"proof")
_NONCE: Final = 16
_TAG: Final = 32
_PATH: Final = re.compile(r"[~.]?(?:/[\w.@+-]+)+\.\w{1,5}")
_FOLDERS: Final = frozenset({"PWD", "OLDPWD"})


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """The values of an environment that its names call secret (`OPENAI_API_KEY`, `DB_PASSWORD`)."""
    named = [value for name, value in environ.items() if is_sensitive(name) and name not in _FOLDERS]
    return [value for value in named if not WORD.fullmatch(value) and not _names_file(value)]


class Vault:
    """See the module. `known` are the secrets to mask. `whose`, everywhere, names the tenant and the principal that a
    found secret belongs to: a token opens for nobody else.

    `key` is asked once, when the first secret is found or looked for: a key (32 bytes or more) makes tokens, and what
    is kept of them. None is a key of this process alone.
    """

    __slots__ = ("_ask", "_found", "_keys", "_known", "_values")

    def __init__(self, key: Callable[[], bytes | None], known: Iterable[str] = ()) -> None:
        self._ask = key
        self._keys: dict[bytes, bytes] = {}
        self._found: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._values: frozenset[str] = frozenset()
        self._known: tuple[tuple[bytes, bytes], ...] = ()
        self.know(known)

    # ------------------------------------------------------------------------------------------------ known secrets

    def know(self, secrets: Iterable[str]) -> None:
        """Mask these too, from now on."""
        self._values |= {item for item in secrets if len(item) >= SHORTEST}
        # The longest first, so that a secret that contains another is masked as a whole.
        values = sorted(self._values, key=lambda item: (-len(item), item))
        self._known = tuple([(data, _masked(len(data))) for value in values for data in _spelled(value)])

    def mask(self, data: bytes) -> bytes:
        """Encoded data with known secrets masked, at equal length so that it stays decodable; itself if none."""
        for secret, shown in self._known:
            if secret in data:
                data = data.replace(secret, shown)
        return data

    def mask_text(self, text: str) -> str:
        """Text with known secrets masked."""
        data = text.encode("utf-8", "surrogatepass")
        masked = self.mask(data)
        return text if masked is data else masked.decode("utf-8", "surrogatepass")

    def clean(self, failure: Failure) -> Failure:
        """A failure that tells no secret."""
        message = self.mask_text(redact_text(failure.message))
        data = failure.data and redact(failure.data)
        if message == failure.message and data is failure.data:
            return failure
        return Failure(failure.type, message, data)

    # ------------------------------------------------------------------------------------------------ found secrets

    def seal(self, value: Any, whose: str = "", made: list[str] | None = None) -> Any:
        """Plain JSON with tokens where it held secrets; the same object when it held none. `made` takes the tokens."""
        # What has no secret, which is nearly everything, is found out without making a way to hide them.
        return value if redact(value) is value else redact(value, hide=self._hider(whose, made))

    def sealed(self, reply: Reply, whose: str = "", made: list[str] | None = None) -> Reply:
        """A model's reply whose tool calls hold no secrets; the same object when they held none."""
        parts = reply.message.parts
        changed: list[Any] | None = None
        for index, part in enumerate(parts):
            if type(part) is ToolCall and (fresh := self._call(part, whose, made)) is not part:
                changed = changed or list(parts)
                changed[index] = fresh
        if changed is None:
            return reply
        message: Message = msgspec.structs.replace(reply.message, parts=tuple(changed))
        return msgspec.structs.replace(reply, message=message)

    def open(self, value: Any, whose: str = "") -> Any:
        """Plain JSON with what its tokens stand for; the same object when there are none.

        Raises ToolValidationError for a token that this process does not know.
        """
        kind: type[object] = type(value)  # pyright: ignore[reportUnknownVariableType] - plain JSON
        if kind is str:
            return self._opened(value, whose) if _PREFIX in value else value
        if kind is dict:
            entries = cast("dict[str, Any]", value)
            if not _may_hold(entries):
                return entries
            opened = {key: self.open(item, whose) for key, item in entries.items()}
            return opened if any(opened[key] is not item for key, item in entries.items()) else entries
        if kind is list:
            items = cast("list[Any]", value)
            fresh = [self.open(item, whose) for item in items]
            return fresh if any(new is not old for new, old in zip(fresh, items, strict=True)) else items
        return value

    def known(self, value: Any, whose: str = "") -> Any:
        """Plain JSON with what those of its tokens stand for that this process knows."""
        missing = self.missing(value, whose)
        return self.open(without(missing, value) if missing else value, whose)

    def missing(self, value: Any, whose: str = "") -> list[str]:
        """The tokens in a value that this process does not know."""
        found = dict.fromkeys(_TOKEN.findall(msgspec.json.encode(value).decode()))
        return [token for token in found if (whose, token) not in self._found]

    # -------------------------------------------------------------------------------------------- what is kept of them

    def kept(self, token: str, whose: str = "") -> tuple[bytes, bytes]:
        """Where to keep what a token of this process stands for, and the encrypted value.

        A keystream of SHAKE-256 under a key and a nonce of its own, and an HMAC-SHA-256 over both and the token's
        name (encrypt-then-MAC): Python's standard library has no cipher.
        """
        plain = encode(self._found[whose, token])
        nonce = os.urandom(_NONCE)
        text = _xor(plain, hashlib.shake_256(self._key(b"cipher") + nonce).digest(len(plain)))
        return address(token, whose), nonce + text + self._proof(nonce, text, token, whose)

    def learn(self, token: str, whose: str, data: bytes) -> bool:
        """Remember what was kept of a token; False for what this key did not encrypt for it."""
        nonce, text, proof = data[:_NONCE], data[_NONCE:-_TAG], data[-_TAG:]
        if not hmac.compare_digest(proof, self._proof(nonce, text, token, whose)):
            return False
        plain = _xor(text, hashlib.shake_256(self._key(b"cipher") + nonce).digest(len(text)))
        self._remember(token, whose, decode(plain))
        return True

    def _proof(self, nonce: bytes, text: bytes, token: str, whose: str) -> bytes:
        return hmac.new(self._key(b"proof"), encode((nonce, text, token, whose)), hashlib.sha256).digest()

    def _key(self, purpose: bytes) -> bytes:
        """The key for one purpose, derived from the only one."""
        if not self._keys:
            key = self._ask() or os.urandom(32)
            for each in _PURPOSES:
                self._keys[each] = hmac.new(key, b"podium vault " + each, hashlib.sha256).digest()
        return self._keys[purpose]

    # ------------------------------------------------------------------------------------------------------- inside

    def _call(self, call: ToolCall, whose: str, made: list[str] | None) -> ToolCall:
        args = self.seal(call.args, whose, made)
        invalid = call.invalid and redact_text(call.invalid)
        if args is call.args and invalid is call.invalid:
            return call
        return msgspec.structs.replace(call, args=args, invalid=invalid)

    def _opened(self, text: str, whose: str) -> Any:
        whole = _TOKEN.fullmatch(text)
        if whole is not None:
            return self._secret(text, whose)
        return _TOKEN.sub(lambda found: str(self._secret(found[0], whose)), text)

    def _secret(self, token: str, whose: str) -> Any:
        try:
            return self._found[whose, token]
        except KeyError:
            raise ToolValidationError(
                f"the secret behind {token} is in no record and was not kept: ask for it again"
            ) from None

    def _hider(self, whose: str, made: list[str] | None) -> Callable[[Any], str]:
        def hide(secret: Any) -> str:
            if isinstance(secret, str):
                secret = self.mask_text(secret)
                if _MASK.fullmatch(secret) or _TOKEN.fullmatch(secret):
                    return secret  # nothing that could be opened, or opened again
            else:
                plain = encode(secret)
                masked = self.mask(plain)
                secret = secret if masked is plain else decode(masked)
            mac = hmac.new(self._key(b"token"), encode((whose, secret)), hashlib.sha256).hexdigest()[:16]
            token = f"{_PREFIX}{mac}]"
            self._remember(token, whose, secret)
            if made is not None:
                made.append(token)
            return token

        return hide

    def _remember(self, token: str, whose: str, secret: Any) -> None:
        self._found[whose, token] = secret
        self._found.move_to_end((whose, token))
        if len(self._found) > KEPT:
            self._found.popitem(last=False)


def address(token: str, whose: str) -> bytes:
    """Under which key the value of a token is kept."""
    return digest_of(("sealed", whose, token))


def tokens_in(data: bytes) -> set[str]:
    """The tokens in encoded data."""
    return {found.decode() for found in _TOKEN_BYTES.findall(data)}


def _may_hold(entries: dict[str, Any]) -> bool:
    """Whether a token could be among the values: the look that spares most arguments the copying."""
    for item in entries.values():
        kind: type[object] = type(item)  # pyright: ignore[reportUnknownVariableType] - plain JSON
        if kind is str:
            if _PREFIX in item:
                return True
        elif kind is dict or kind is list:
            return True
    return False


def restored(edited: Any, shown: Any, original: Any) -> Any:
    """Edited arguments with the secrets that their editor was not shown: where a part still is as it was `shown`,
    redacted, the `original` is meant."""
    if edited == shown:
        return original
    if isinstance(edited, dict) and isinstance(shown, dict) and isinstance(original, dict):
        new, seen, old = cast("tuple[dict[str, Any], dict[str, Any], dict[str, Any]]", (edited, shown, original))
        return {key: restored(new[key], seen[key], old[key]) if key in seen and key in old else new[key] for key in new}
    if isinstance(edited, list) and isinstance(shown, list) and isinstance(original, list):
        rows = cast("tuple[list[Any], list[Any], list[Any]]", (edited, shown, original))
        if len(rows[0]) == len(rows[1]) == len(rows[2]):
            return [restored(*each) for each in zip(*rows, strict=True)]
    return cast("Any", edited)


def strayed(edited: Any, shown: Any) -> bool:
    """Whether edited arguments hold a `[redacted]` that is not where it was shown, and so stands for nothing."""
    return _marked(restored(edited, shown, _unmarked(shown)))


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unmarked(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_unmarked(item) for item in cast("list[Any]", value)]
    return "" if isinstance(value, str) and REDACTED in value else value


def _marked(value: Any) -> bool:
    if isinstance(value, dict):
        return any(REDACTED in key or _marked(item) for key, item in cast("dict[str, Any]", value).items())
    if isinstance(value, list):
        return any(map(_marked, cast("list[Any]", value)))
    return isinstance(value, str) and REDACTED in value


def _names_file(value: str) -> bool:
    """Whether a variable such as GOOGLE_APPLICATION_CREDENTIALS says where a secret is, and is none itself."""
    if not value.startswith(("/", "~/", "./")):
        return False
    try:
        return _PATH.fullmatch(value) is not None or Path(value).exists()
    except (OSError, ValueError):
        return False


def _xor(data: bytes, stream: bytes) -> bytes:
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def _masked(size: int) -> bytes:
    return REDACTED.encode().ljust(size, b"*")[:size]


def _spelled(secret: str) -> list[bytes]:
    """How a secret may stand in a record. Most look the same everywhere; each other way is one search more a record."""
    return [way.encode("utf-8", "surrogatepass") for way in spellings(secret)]
