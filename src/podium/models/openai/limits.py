"""What OpenAI's own models are known to refuse, said before anything is sent.

It asks `models.capabilities`, and only for models at OpenAI itself: elsewhere a name may mean another model, and an
unknown name is refused nothing. Both wires stand on it.
"""

from __future__ import annotations

from podium.core.errors import BadRequest
from podium.core.messages import ModelRequest
from podium.models.capabilities import Capabilities, capabilities

_DEFAULT = 1.0
"""The value of `temperature` and `top_p` that every model takes."""


def check(request: ModelRequest, known_as: str, *, chat: bool) -> None:
    """Refuse what the model `known_as` (`openai:NAME`; empty for an unknown one) does not take.

    `chat` is Chat Completions. Raises BadRequest, which names the setting and what to do.
    """
    settings = request.settings
    given = [
        name
        for name, value in (("temperature", settings.temperature), ("top_p", settings.top_p))
        if value is not None and value != _DEFAULT
    ]
    if chat and settings.stop:
        given.append("stop")
    if not known_as or not (given or (chat and request.tools)):
        return
    can = capabilities(known_as)
    effort = settings.reasoning_effort
    for name in given:
        if not can.accepts(name, effort=effort):
            raise BadRequest(_sampling(known_as, name, can))
    if chat and request.tools and can.chat_tools_unthinking and effort != "none":
        model = known_as.partition(":")[2]
        raise BadRequest(
            f"{known_as} takes no tools in Chat Completions while it reasons: use openai-responses:{model}, or set "
            'reasoning_effort="none"'
        )


def _sampling(model: str, name: str, can: Capabilities) -> str:
    if name in can.sampling_unthinking:
        return f'{model} takes no {name} while it reasons: leave {name} out, or set reasoning_effort="none"'
    return f"{model} takes no {name}: leave it out, or choose a model that does not reason"
