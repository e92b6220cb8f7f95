"""How sealed secrets are carried: beside the records that hold their tokens, and in the mail that decides about calls.

Values of the vault in, values for the store out; this module knows no run. Who performs what with them is said in
`sealing` (for records) and `desk` and `run` (for mail).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, Final, cast

from podium.core.codec import decode, encode
from podium.core.records import Principal
from podium.ports import CacheEntry, Mail

from .vault import Vault

DAYS: Final = 30
"""For how long a sealed secret can be used by another process: as long as a run may wait for somebody, and longer."""
_SEALED: Final = "sealed"
"""Where a decision holds what its tokens stand for, encrypted, while it lies in the mail."""
_DECIDED: Final = frozenset({"approve", "resolve"})


@functools.lru_cache(maxsize=1024)  # runs of one principal share the text
def owner(principal: Principal) -> str:
    """Whose secrets those of a run are: nobody else's run opens its tokens, wherever it read them."""
    return f"{len(principal.tenant)}:{principal.tenant}:{principal.id}"


def entries(vault: Vault, whose: str, tokens: Iterable[str], now: float, room: int) -> list[CacheEntry]:
    """What is kept of tokens, encrypted, on the store's shelf of things that may be forgotten."""
    found = [vault.kept(token, whose) for token in dict.fromkeys(tokens)]
    return [CacheEntry(key, data, now, now + DAYS * 86400, room) for key, data in found]


def posted(vault: Vault, data: dict[str, Any], whose: str) -> dict[str, Any]:
    """What a person decided, as it may lie in the mail: tokens in place of secrets, with what they stand for,
    encrypted."""
    made: list[str] = []
    sealed = vault.seal(data, whose, made)
    return {**sealed, _SEALED: {token: vault.kept(token, whose)[1] for token in made}} if made else data


def received(vault: Vault, mail: Mail, whose: str) -> tuple[bytes, list[str]]:
    """The data of a mail as it is journaled, without what its tokens stand for; and the tokens that are known now."""
    if mail.kind not in _DECIDED or _SEALED.encode() not in mail.data:
        return mail.data, []
    data = decode(mail.data)
    said = dict(cast("dict[str, Any]", data)) if isinstance(data, dict) else {}
    kept = said.pop(_SEALED, None)
    if not isinstance(kept, dict):
        return mail.data, []
    sealed = cast("dict[str, Any]", kept).items()
    known = [token for token, text in sealed if isinstance(text, bytes) and vault.learn(token, whose, text)]
    return encode(said), known
