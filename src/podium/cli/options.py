"""Options that several commands share, and the settings they amount to."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

if TYPE_CHECKING:
    from podium.app import Podium
    from podium.config import Config
    from podium.core.budgets import Budget
    from podium.core.records import Principal

RUNS = "Runs"
PEOPLE = "Decisions"
TEAMS = "Teams"
MONEY = "Models and money"
MACHINE = "This machine"

StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="PATH", help="Where runs are kept (PODIUM_STORE; .podium/podium.db by default)."),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="The model of agents that name none, e.g. openai:NAME or offline."),
]
BaseUrlOption = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="The address of a server that speaks Chat Completions."),
]
BudgetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="LIMIT",
        help="What the run may use: 0.50 (US dollars), 20000tokens, 10calls, 60s; with commas, or repeated.",
    ),
]
BehindOption = Annotated[
    str, typer.Option("--as", metavar="NAME", help="Who is behind the run, for policies, approvals and the record.")
]
BehindRolesOption = Annotated[
    list[str] | None,
    typer.Option("--role", metavar="ROLE", help="A role of whoever is behind the run; may be repeated."),
]
TenantOption = Annotated[
    str,
    typer.Option("--tenant", metavar="NAME", help="The customer the run is for: budgets and caches keep them apart."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Draw no progress and print no summary.")]
TargetOption = Annotated[
    str | None,
    typer.Option("--target", metavar="TARGET", help="Where the member is found, if not where the run began."),
]
RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The id of a run, the beginning of one, or `last`.", show_default=False),
]
TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="Where the member is: module:attribute, file.py:attribute, or a team file (.toml, .yaml).",
        show_default=False,
    ),
]


def budget(given: list[str] | None) -> Budget | None:
    """The budget that `--budget` gives. Raises ConfigurationError."""
    from podium.config import budget_of

    return budget_of(given, "--budget") if given else None


def principal(name: str, roles: list[str] | None, tenant: str = "") -> Principal:
    """Whoever the options say: it is taken at their word."""
    from podium.core.records import Principal

    return Principal(name, tuple(roles or ()), tenant)


def example(*lines: str) -> str:
    """The end of a command's help: command lines to try."""
    return "\n\n".join(["Example:", *(f"  {line}".replace("[", "\\[") for line in lines)])


class Settings(msgspec.Struct, frozen=True):
    """The configuration in force, and what of it was said on the command line."""

    config: Config
    store_flag: str | None = None

    def command(self, *words: str) -> str:
        """A command line for people to type, with the store if it must be named again."""
        named = ["--store", self.store_flag] if self.store_flag else []
        return shlex.join(["podium", *words, *named])

    def app(self) -> Podium:
        """The app of these settings, not yet open."""
        from podium.app import Podium

        from .exits import say

        return Podium(**self.config.described, on_alert=lambda alert: say(str(alert)))

    def existing(self) -> Podium:
        """The app, for commands that need runs there already. Raises ConfigurationError when there is no store."""
        from podium.core.errors import ConfigurationError

        if not self.has_store():
            raise ConfigurationError(
                f"there is no store {self.config.store} yet: `podium run TARGET` makes it; --store names another"
            )
        return self.app()

    def has_store(self) -> bool:
        """Whether the store is there. Looking must not make one."""
        file = self.config.store_file
        return file is None or file.exists()


def settings(store: str | None = None, model: str | None = None, base_url: str | None = None) -> Settings:
    """The settings in force. Raises ConfigurationError."""
    from podium.config import load

    return Settings(load(store=store, model=model, base_url=base_url), store)
