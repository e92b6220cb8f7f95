"""What a model can do, by its name: sizes, what it reads, and which settings it accepts.

Two kinds of knowledge meet here. Families of models are the rows below, each with its source; context windows of
single models come from the price table, which is renewed by a script. A name that is in neither is given everything:
a capability that is denied wrongly stops work that would have succeeded, and a server says itself what it cannot do.

Everything is an expectation about a provider's own servers, read on the days named below. It sends nothing, and it is
no part of a request: codecs and agents may ask it.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from . import prices

SAMPLING = frozenset({"temperature", "top_p", "stop", "seed"})
"""The settings of a request (`core.messages.Settings`) that steer how words are chosen."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a model. None is not known; all else is permitted unless something is known against it."""

    context: int | None = None
    """Tokens that fit in one call: the prompt, and at most providers the answer too."""
    max_output: int | None = None
    """Tokens of the longest answer, reasoning included."""
    tools: bool = True
    images: bool = True
    files: bool = True
    """PDF documents in messages."""
    thinking: bool = True
    """Whether it can reason before it answers."""
    structured: bool = True
    """Whether the provider can force an answer into a JSON schema."""
    sampling: frozenset[str] = SAMPLING
    """Settings of SAMPLING that are accepted as they are; others are refused or without effect."""
    sampling_unthinking: frozenset[str] = frozenset()
    """Settings that are accepted beside these while the model does not reason (`reasoning_effort="none"`)."""
    chat_tools_unthinking: bool = False
    """Whether Chat Completions takes tools only with `reasoning_effort="none"`; Responses takes them always."""

    def accepts(self, setting: str, *, effort: str | None = None) -> bool:
        """Whether a setting of SAMPLING is accepted, for a request with this `reasoning_effort`."""
        return setting in self.sampling or (effort == "none" and setting in self.sampling_unthinking)


class _Family(msgspec.Struct, frozen=True):
    """Models whose ids match; the first row that does is taken."""

    pattern: str
    can: Capabilities


# ---------------------------------------------------------------------------------------------------------- Anthropic
# Limits, thinking: https://platform.claude.com/docs/en/about-claude/models/overview and the page of each model, read
# 2026-11. Sampling: the wire `anthropic-version: 2026-10-21` has no temperature, top_p or seed for any model.
_CLAUDE = frozenset({"stop"})


def _claude(context: int, max_output: int, *, thinking: bool = True, structured: bool = True) -> Capabilities:
    return Capabilities(
        context=context, max_output=max_output, thinking=thinking, structured=structured, sampling=_CLAUDE
    )


_ANTHROPIC = (
    _Family(r"claude-(opus|sonnet|haiku|fable|mythos)-5([-.]\d)?", _claude(1_000_000, 128_000)),
    _Family(r"claude-(opus-4[-.][678]|sonnet-4[-.]6|mythos-preview)", _claude(1_000_000, 128_000)),
    _Family(r"claude-(opus|sonnet|haiku)-4[-.]5", _claude(200_000, 64_000)),
    _Family(r"claude-(opus-4([-.][01])?|4-opus)", _claude(200_000, 32_000, structured=False)),
    _Family(r"claude-(sonnet-4([-.]0)?|4-sonnet|3[-.]7-sonnet)", _claude(200_000, 64_000, structured=False)),
    _Family(r"claude-3[-.]5-(sonnet|haiku)", _claude(200_000, 8_192, thinking=False, structured=False)),
    _Family(r"claude-3-(opus|sonnet|haiku)", _claude(200_000, 4_096, thinking=False, structured=False)),
    _Family(r".*", Capabilities(sampling=_CLAUDE)),
)

# ------------------------------------------------------------------------------------------------------------- OpenAI
# Limits: https://developers.openai.com/api/docs/models and the page of each model, read 2026-11. Models that reason
# take temperature and top_p only at their default; from gpt-5.1 on they take them with reasoning off
# (https://developers.openai.com/api/docs/guides/latest-model). `stop`: the SDK's reference of chat completions.
# Tools on Chat Completions: the pages of gpt-5.6 and gpt-6 models.
_REASONS = frozenset({"seed"})
_WITHOUT = frozenset({"temperature", "top_p"})


def _gpt(context: int, max_output: int, *, images: bool = True) -> Capabilities:
    return Capabilities(context=context, max_output=max_output, thinking=False, images=images, files=images)


def _reasoning(
    context: int, max_output: int, *, unthinking: frozenset[str] = frozenset(), images: bool = True, chat: bool = True
) -> Capabilities:
    return Capabilities(
        context=context,
        max_output=max_output,
        images=images,
        files=images,
        sampling=_REASONS,
        sampling_unthinking=unthinking,
        chat_tools_unthinking=not chat,
    )


_OLD = Capabilities(context=16_385, max_output=4_096, thinking=False, images=False, files=False, structured=False)
_OPENAI = (
    # astra reasons always: its efforts begin at `low`.
    _Family(r"gpt-6(\.\d+)?-astra", _reasoning(1_050_000, 128_000, chat=False)),
    _Family(
        r"gpt-(5\.6|6(\.\d+)?)(-(sol|terra|luna))?", _reasoning(1_050_000, 128_000, unthinking=_WITHOUT, chat=False)
    ),
    _Family(r"gpt-5\.[45]-pro", _reasoning(1_050_000, 128_000)),
    _Family(r"gpt-5\.4-(mini|nano)", _reasoning(400_000, 128_000, unthinking=_WITHOUT)),
    _Family(r"gpt-5\.[45]", _reasoning(1_050_000, 128_000, unthinking=_WITHOUT)),
    _Family(r"gpt-5(\.\d)?-chat(-latest)?", _gpt(128_000, 16_384)),
    _Family(r"gpt-5-pro", _reasoning(400_000, 272_000)),
    _Family(r"gpt-5\.2-pro", _reasoning(400_000, 128_000)),
    _Family(r"gpt-5\.[123](-codex)?(-max|-mini)?", _reasoning(400_000, 128_000, unthinking=_WITHOUT)),
    _Family(r"gpt-5(-mini|-nano|-codex)?", _reasoning(400_000, 128_000)),
    _Family(r"o1-mini|o1-preview", _reasoning(128_000, 65_536, images=False)),
    _Family(r"o3-mini", _reasoning(200_000, 100_000, images=False)),
    _Family(r"o[134](-mini|-pro)?", _reasoning(200_000, 100_000)),
    _Family(r"gpt-4\.1(-mini|-nano)?", _gpt(1_047_576, 32_768)),
    _Family(r"(chat)?gpt-4o(-mini|-latest)?", _gpt(128_000, 16_384)),
    _Family(r"gpt-4-turbo|gpt-4-(1106|0125)", _gpt(128_000, 4_096)),
    _Family(r"gpt-4-32k", msgspec.structs.replace(_OLD, context=32_768)),
    _Family(r"gpt-4", msgspec.structs.replace(_OLD, context=8_192, max_output=8_192)),
    _Family(r"gpt-3\.?5-turbo", _OLD),
)

# ------------------------------------------------------------------------------------------------------------- Google
# Limits and inputs: https://ai.google.dev/gemini-api/docs/models and the page of each model, read 2026-11. Gemini 4:
# https://ai.google.dev/gemini-api/docs/latest-model (prompt and answer share one window, one request answers with at
# most 65,536 tokens; temperature and top_p are taken and have no effect).


def _gemini(max_output: int, *, thinking: bool = True, sampling: frozenset[str] = SAMPLING) -> Capabilities:
    return Capabilities(context=1_048_576, max_output=max_output, thinking=thinking, sampling=sampling)


_GOOGLE = (
    _Family(r"gemini-4-[a-z]+", _gemini(65_536, sampling=frozenset({"stop", "seed"}))),
    _Family(r"gemini-(2\.5|3(\.\d)?)-(pro|flash)(-lite)?", _gemini(65_536)),
    _Family(r"gemini-2\.0-flash(-lite)?", _gemini(8_192, thinking=False)),
    _Family(r"gemini-1\.5-(pro|flash)", _gemini(8_192, thinking=False)),
)

_FAMILIES = {
    "anthropic": _ANTHROPIC,
    "openai": _OPENAI,
    "openai-responses": _OPENAI,
    "azure": _OPENAI,  # a deployment may have any name; those named after their model are known by it
    "gemini": _GOOGLE,
    "vertex": (*_GOOGLE, *_ANTHROPIC[:-1]),
}
# What may follow a family's name and still mean it: a version, a date, a variant of the same size.
_VERSION = r"(?:$|[-@:](?:latest|preview|exp|\d[\d.:-]*|v\d+)(?:$|[-@:]).*)"
# Models with other inputs and outputs than their namesakes that answer in text.
_OTHER = re.compile(r"(?:^|[-/])(?:audio|image|tts|realtime|transcribe|live|embedding|search|moderation)(?:$|[-@:])")

# Shut down, or about to be, by the providers' lists of deprecations (as the SDKs of 2026-11 repeat them).
_RETIRED = re.compile(
    r"claude-(\d|v\d|(opus|sonnet)-4-0|mythos-preview)|gpt-3|gpt-4($|-)|gpt-4\.1-nano|chatgpt|o1|o[34]-mini"
    r"|gpt-5\.1-codex|gemini-(1\.|2\.0)|.*\.ft-"
)

UNKNOWN = Capabilities()
"""What is expected of a model nobody knows: everything, within limits that are not known."""


def capabilities(model_name: str) -> Capabilities:
    """What the model called `provider:NAME` can do. A dated id is known by its family; an unknown one is `UNKNOWN`.

    Meant are the provider's own servers: with another base_url the same name may be another model.
    """
    return _capabilities(model_name.strip())


@lru_cache(maxsize=1024)
def _capabilities(model_name: str) -> Capabilities:
    provider, _, name = model_name.partition(":")
    ref = name.strip().lower()
    if provider in ("gemini", "vertex"):
        ref = ref.rpartition("models/")[2].rpartition("/")[2]
    found = UNKNOWN
    if not _OTHER.search(ref):
        for family in _FAMILIES.get(provider, ()):
            if re.match(f"(?:{family.pattern}){_VERSION}", ref) or family.pattern == ".*":
                found = family.can
                break
    window = prices.context_window(model_name)
    return found if found.context or not window else msgspec.structs.replace(found, context=window)


def known_models(provider: str) -> list[str]:
    """Ids of models of `provider` (`anthropic`, `openai`, `gemini`, …), to suggest: those that answer in text, have a
    price, belong to a family above and are not retired. Empty for a provider that is unknown or serves any model.
    """
    own = {"azure": "openai", "openai-responses": "openai"}.get(provider, provider)
    return [
        name
        for name in prices.listed(own)
        if not _RETIRED.match(name) and capabilities(f"{own}:{name}").max_output is not None
    ]
