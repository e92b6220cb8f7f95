"""A team as data: agents and teams in a TOML or YAML file, which becomes a member that a TARGET can name.

The file is values only: texts, numbers and lists. It names tools by where they are in code; finding, importing and
making them is the caller's part (`targets`), so this module imports nothing that a file says. A file is right or wrong
as a whole: every entry is checked and built, also those that the chosen member does not reach. Whoever may write a team
file may name code to run: treat it as code.
"""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, TypeVar, cast

import msgspec

from .agents import Agent, Review
from .core.errors import ConfigurationError, MissingExtra
from .core.messages import Settings
from .policy.approvals import Approval
from .ports import Member, Tool
from .teams import Parallel, Router, Sequential, Supervisor

FindTools: TypeAlias = Callable[[str, Path, Mapping[str, Any] | None], Sequence[Tool]]
"""The tools that a reference names, seen from a folder; with arguments, those that what it names makes of them.

Raises ConfigurationError.
"""

FindGrade: TypeAlias = Callable[[str, Path], Any]
"""The function (or the member) that a reference names, seen from a folder: it says how sure an answer is.

Raises ConfigurationError.
"""

SUFFIXES = (".toml", ".yaml", ".yml")
_MOST = 1 << 20
"""Bytes of a team file that are read."""
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_TOOL = re.compile(r"[A-Za-z0-9_*-]{1,64}")
S = TypeVar("S", bound=msgspec.Struct)


class SettingsEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[agents.NAME.settings]`: how the model is asked to work; what is left out is as the provider has it."""

    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tool_choice: str | None = None
    reasoning_effort: str | None = None
    parallel_tool_calls: bool | None = None
    timeout: Annotated[float, msgspec.Meta(gt=0)] | None = None
    extra: dict[str, Any] = {}
    prompt_cache: Literal["5m", "1h", "off"] | None = None

    def settings(self) -> Settings:
        """The settings of a request."""
        return Settings(**{name: getattr(self, name) for name in self.__struct_fields__})


class ApprovalEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[agents.NAME.approvals]]`: calls of this agent that wait for a person, in the words of `Approval`."""

    tools: str | tuple[str, ...] = ()
    when: dict[str, Any] | tuple[dict[str, Any], ...] | None = None
    cost_above: float | str | None = None
    cost: str | None = None
    """The argument that holds the amount."""
    untrusted: bool | None = None
    kinds: str | tuple[str, ...] = ()
    roles: str | tuple[str, ...] = ()
    expires: float | None = None
    self_approval: bool = True
    prompt: str = ""
    name: str = ""

    def approval(self) -> Approval:
        """The approval. Raises ConfigurationError."""
        return Approval(**{name: getattr(self, name) for name in self.__struct_fields__})


class ReviewEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[agents.NAME.review]`: which answers of this agent wait for a person, in the words of `Review`."""

    confidence: str
    """Who says how sure an answer is: a member of this file that grades it, or `file.py:function`."""
    threshold: float = 0.7
    roles: str | tuple[str, ...] = ()
    expires: float | None = None
    rounds: int = 3
    on_expiry: Literal["reject", "accept"] = "reject"
    self_approval: bool = True

    def review(self, confidence: Any) -> Review:
        """The review, with what `confidence` names. Raises ConfigurationError."""
        return Review(
            **{name: getattr(self, name) for name in self.__struct_fields__ if name != "confidence"},
            confidence=confidence,
        )


class AgentEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[agents.NAME]`. Without a `model`, the agent has that of the app it runs in."""

    model: str | None = None
    """A model by name; several with `|` are asked in order."""
    prompt: str = ""
    description: str = ""
    tools: tuple[str | dict[str, Any], ...] = ()
    """`module:attribute` or `file.py:attribute`, relative to the folder of the team file: a tool, or a list of them. A
    table `{ make = "module:function", … }` is what the function makes of the other values. A text without a colon is
    the name of a tool of the app (`shop_search`, of an MCP server), or a pattern of names (`shop_*`)."""
    max_iterations: int = 20
    settings: SettingsEntry = SettingsEntry()
    cache: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Seconds for which an equal request may be answered with the reply it had before."""
    approvals: tuple[ApprovalEntry, ...] = ()
    review: ReviewEntry | None = None

    def references(self) -> list[tuple[str, str]]:
        """The member that grades its answers, if it is one of this file, with the key that names it."""
        grader = "" if self.review is None else self.review.confidence
        return [("review.confidence", grader)] if grader and ":" not in grader else []


class TeamEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What `[teams.NAME]` holds whatever its kind."""

    members: tuple[str, ...]
    """Names of agents and teams of this file, in order."""
    description: str = ""

    def references(self) -> list[tuple[str, str]]:
        """The members that are named, each with the key that names it."""
        return [(f"members[{position}]", name) for position, name in enumerate(self.members)]


class SequentialEntry(TeamEntry, frozen=True, kw_only=True, tag="sequential"):
    """`kind = "sequential"`."""


class ParallelEntry(TeamEntry, frozen=True, kw_only=True, tag="parallel"):
    """`kind = "parallel"`. `join` is a member that makes one answer of all."""

    join: str | None = None

    def references(self) -> list[tuple[str, str]]:
        """The members and who joins their answers."""
        return [*super().references(), *([] if self.join is None else [("join", self.join)])]


class RouterEntry(TeamEntry, frozen=True, kw_only=True, tag="router"):
    """`kind = "router"`. `default` is the member for what fits none; it need not be one of `members`."""

    model: str | None = None
    default: str | None = None

    def references(self) -> list[tuple[str, str]]:
        """The members and the default one."""
        return [*super().references(), *([] if self.default is None else [("default", self.default)])]


class SupervisorEntry(TeamEntry, frozen=True, kw_only=True, tag="supervisor"):
    """`kind = "supervisor"`. Without a `prompt`, it has the one of `Supervisor`."""

    model: str | None = None
    prompt: str | None = None


_INNER: dict[str, type[msgspec.Struct]] = {"settings": SettingsEntry, "approvals": ApprovalEntry, "review": ReviewEntry}
"""The tables within `[agents.NAME]`."""

AnyTeam: TypeAlias = SequentialEntry | ParallelEntry | RouterEntry | SupervisorEntry
_KINDS: dict[str, type[AnyTeam]] = {
    "sequential": SequentialEntry,
    "parallel": ParallelEntry,
    "router": RouterEntry,
    "supervisor": SupervisorEntry,
}


class TeamFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A team file, decoded. `main` is the member that runs when none is named."""

    main: str | None = None
    agents: dict[str, AgentEntry] = {}
    teams: dict[str, AnyTeam] = {}


def split(target: str) -> tuple[str, str | None] | None:
    """The file and the chosen member of `file.toml` or `file.toml:NAME`; None for a TARGET of another form."""
    if target.endswith(SUFFIXES):
        return target, None
    where, colon, name = target.rpartition(":")
    return (where, name) if colon and name and where.endswith(SUFFIXES) else None


def load(file: str, name: str | None = None, *, tools: FindTools, grade: FindGrade) -> Member:
    """The member `name` of a team file: without one its `main`, or the only member there is.

    `tools` finds the tools that the file names, `grade` the functions that grade answers. Raises
    ConfigurationError, one line that names the file and the key in it; MissingExtra for YAML without its extra.
    """
    decoded = read(file)
    _check(file, decoded)
    order = _in_order(file, decoded)
    chosen = _chosen(file, decoded, name)
    made: dict[str, Member] = {}
    for known in order:
        agent = decoded.agents.get(known)
        if agent is None:
            made[known] = _built(file, known, decoded.teams[known], made)
        else:
            made[known] = _agent(file, known, agent, tools, _reviewed(file, known, agent, made, grade))
    return made[chosen]


def read(file: str) -> TeamFile:
    """The values of a team file; that its names lead anywhere is not looked at. Raises as `load`."""
    table = _table(file)
    agents = {
        name: _entry(file, f"agents.{name}", value, AgentEntry) for name, value in _section(file, table, "agents")
    }
    teams = {name: _team(file, f"teams.{name}", value) for name, value in _section(file, table, "teams")}
    return _entry(file, "", {**table, "agents": agents, "teams": teams}, TeamFile)


def settings_of(value: object, what: str) -> Settings:
    """Settings from a table of their names. Raises ConfigurationError that begins with `what`."""
    return _entry(what, "", value, SettingsEntry).settings()


# --------------------------------------------------------------------------------------------------------- the values


def _table(file: str) -> dict[object, object]:
    try:
        with Path(file).expanduser().open("rb") as opened:
            data = opened.read(_MOST + 1)
        if len(data) > _MOST:
            raise ConfigurationError(f"{file} is larger than {_MOST >> 20} MiB: it cannot be a team file")
        text = data.decode("utf-8-sig")
        value: object = tomllib.loads(text) if file.endswith(".toml") else _yaml(file, text)
    except FileNotFoundError:
        raise ConfigurationError(f"there is no file {file}") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}") from error
    except RecursionError:
        raise ConfigurationError(f"{file} is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8 text: {error}") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{file} has no members: write agents, each with a name, and teams of them")
    return cast("dict[object, object]", value)


def _yaml(file: str, text: str) -> object:
    try:
        # By name: it is optional, and has no types of its own.
        yaml: Any = importlib.import_module("yaml")
    except ImportError as error:
        raise MissingExtra(f"the team file {file}", "yaml") from error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number that is none
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        said = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ConfigurationError(f"{file} is not valid YAML: {said}{place}") from error


def _section(file: str, table: Mapping[object, object], section: str) -> list[tuple[str, object]]:
    found = table.get(section, {})
    if not isinstance(found, dict):
        raise ConfigurationError(f"{file}: {section} must be a table of names, each with its values")
    entries: list[tuple[str, object]] = []
    for name, value in cast("dict[object, object]", found).items():
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"{file}: {section} has a name that is no text ({name!r}): put it in quotes")
        entries.append((name, value))
    return entries


def _team(file: str, key: str, value: object) -> AnyTeam:
    # The kind is looked at first: its own error would not say what kinds there are.
    if not isinstance(value, dict):
        return _entry(file, key, value, SequentialEntry)
    kind = cast("dict[object, object]", value).get("kind")
    entry = _KINDS.get(kind) if isinstance(kind, str) else None
    if entry is None:
        said = "missing" if kind is None else repr(kind) if isinstance(kind, str) else type(kind).__name__
        raise ConfigurationError(f"{file}: {key}.kind is {said}; kinds are {', '.join(_KINDS)}")
    return _entry(file, key, cast("object", value), entry)


def _entry(file: str, key: str, value: object, kind: type[S]) -> S:
    """A table as its values; msgspec's error in the words of the file."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at ")
    path = place.strip("`").removeprefix("$").removeprefix(".")
    inner = _INNER.get(re.split(r"[.\[]", path)[0], kind)
    keys = list(inner.__struct_fields__)
    if inner.__struct_config__.tag is not None:
        keys.insert(0, "kind")
    unknown, missing = _UNKNOWN.fullmatch(said), _MISSING.fullmatch(said)
    if missing:
        raise ConfigurationError(f"{file}: {_dotted(_dotted(key, path), missing[1])} is missing")
    if unknown:
        where = _dotted(_dotted(key, path), unknown[1])
        raise ConfigurationError(f"{file}: unknown key {where}; known are {', '.join(keys)}")
    if "key" in place:
        raise ConfigurationError(f"{file}: {key or 'the file'} has a key that is no text; known are {', '.join(keys)}")
    said = said.replace("`", "").replace("object", "a table").replace("array", "a list").replace("str", "a text")
    said = said.replace(" | ", " or ")
    raise ConfigurationError(f"{file}: {_dotted(key, path)}: {said[:1].lower()}{said[1:]}")


def _dotted(key: str, name: str) -> str:
    return f"{key}.{name}" if key and name else key or name


# ---------------------------------------------------------------------------------------------------------- the names


def _check(file: str, decoded: TeamFile) -> None:
    """That every name is one member's, and every name that is used leads to one."""
    names = {*decoded.agents, *decoded.teams}
    if not names:
        raise ConfigurationError(f"{file} has no members: write agents, each with a name, and teams of them")
    for twice in sorted(decoded.agents.keys() & decoded.teams.keys()):
        raise ConfigurationError(f"{file}: teams.{twice}: there is an agent of that name: rename one")
    for where, entry in _entries(decoded).items():
        for key, member in entry.references():
            if member not in names:
                _unknown(file, f"{where}.{key}", member, decoded)
    if decoded.main is not None and decoded.main not in names:
        _unknown(file, "main", decoded.main, decoded)


def _in_order(file: str, decoded: TeamFile) -> tuple[str, ...]:
    """All names, those a team is made of before it."""
    entries = {where.partition(".")[2]: (where, entry) for where, entry in _entries(decoded).items()}
    graph = {name: [member for _, member in entry.references()] for name, (_, entry) in entries.items()}
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = cast("list[str]", error.args[1])[::-1]
    where, entry = entries[circle[0]]
    key = next(key for key, member in entry.references() if member == circle[1])
    itself = "a team cannot contain itself" if circle[0] in decoded.teams else "an agent cannot grade its own answers"
    raise ConfigurationError(f"{file}: {where}.{key}: {itself}: {' -> '.join(circle)}")


def _entries(decoded: TeamFile) -> dict[str, AgentEntry | AnyTeam]:
    """All members, by where they stand in the file."""
    agents: dict[str, AgentEntry | AnyTeam] = {f"agents.{name}": entry for name, entry in decoded.agents.items()}
    return {**agents, **{f"teams.{name}": entry for name, entry in decoded.teams.items()}}


def _chosen(file: str, decoded: TeamFile, name: str | None) -> str:
    names = [*decoded.agents, *decoded.teams]
    if name is not None:
        if name not in names:
            raise ConfigurationError(f"{file} has no member {name!r}; members found there: {', '.join(names)}")
        return name
    if decoded.main is None and len(names) > 1:
        raise ConfigurationError(
            f'{file}: main is missing: write which member runs, as in main = "{names[-1]}", or name it: '
            f"{file}:{names[-1]}; members found there: {', '.join(names)}"
        )
    return decoded.main or names[0]


def _unknown(file: str, key: str, name: str, decoded: TeamFile) -> NoReturn:
    known = ", ".join([*decoded.agents, *decoded.teams])
    raise ConfigurationError(f"{file}: {key}: there is no member {name!r}; members found there: {known}")


# -------------------------------------------------------------------------------------------------------- the members


def _reviewed(file: str, name: str, entry: AgentEntry, made: Mapping[str, Member], grade: FindGrade) -> Review | None:
    """The review of an agent, whose grader is made already or found in code."""
    asked = entry.review
    if asked is None:
        return None
    member = made.get(asked.confidence)
    try:
        confidence = grade(asked.confidence, _folder(file)) if member is None else member
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: agents.{name}.review.confidence: {error}") from error
    try:
        return asked.review(confidence)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: agents.{name}.review: {error}") from error


def _folder(file: str) -> Path:
    return Path(file).expanduser().resolve().parent


def _agent(file: str, name: str, entry: AgentEntry, find: FindTools, review: Review | None) -> Member:
    folder = _folder(file)
    tools: list[Tool | str] = []
    approvals: list[Approval] = []
    for position, reference in enumerate(entry.tools):
        if isinstance(reference, str) and ":" not in reference:
            tools.append(_of_app(file, f"agents.{name}.tools[{position}]", reference))
            continue
        try:
            tools.extend(find(*_named(reference, folder)))
        except ConfigurationError as error:
            raise ConfigurationError(f"{file}: agents.{name}.tools[{position}]: {error}") from error
    for position, asked in enumerate(entry.approvals):
        try:
            approvals.append(asked.approval())
        except ConfigurationError as error:
            raise ConfigurationError(f"{file}: agents.{name}.approvals[{position}]: {error}") from error
    try:
        return Agent(
            name,
            entry.model,
            tools,
            entry.prompt,
            description=entry.description,
            max_iterations=entry.max_iterations,
            settings=entry.settings.settings(),
            cache=entry.cache,
            approvals=approvals,
            review=review,
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: agents.{name}: {error}") from error


def _of_app(file: str, key: str, name: str) -> str:
    """The name of a tool of the app, or a pattern of names; what there is, is looked up when the agent begins."""
    if not _TOOL.fullmatch(name):
        raise ConfigurationError(
            f"{file}: {key}: {name!r} is no tool: write module:attribute or file.py:attribute, or the name of a tool "
            "of the app, such as one of [mcp.servers] in podium.toml"
        )
    return name


def _named(entry: str | dict[str, Any], folder: Path) -> tuple[str, Path, dict[str, Any] | None]:
    """Where tools are, and what they are made of when they have to be made."""
    if isinstance(entry, str):
        return entry, folder, None
    made = entry.get("make")
    if not isinstance(made, str):
        raise ConfigurationError('a table makes tools: write { make = "module:function", … } with its arguments')
    return made, folder, {name: value for name, value in entry.items() if name != "make"}


def _built(file: str, name: str, entry: AnyTeam, made: Mapping[str, Member]) -> Member:
    """A team of members that are made already: a member of two teams is the same one."""
    members = [made[member] for member in entry.members]
    said: dict[str, Any] = {"name": name, **({"description": entry.description} if entry.description else {})}
    try:
        match entry:
            case SequentialEntry():
                return Sequential(*members, **said)
            case ParallelEntry(join=join):
                return Parallel(*members, join=None if join is None else made[join], **said)
            case RouterEntry(model=model, default=default):
                # An empty name is the app's model, as for an agent that names none.
                return Router(members, model or "", default=None if default is None else made[default], **said)
            case SupervisorEntry(model=model, prompt=prompt):
                own: dict[str, Any] = {} if prompt is None else {"system_prompt": prompt}
                return Supervisor(members, model, **own, **said)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: teams.{name}: {error}") from error
