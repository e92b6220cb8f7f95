"""GitHub through its own command, `gh`, which holds the credentials; the tools and the model see none.

One repository is named when the tools are made, and no argument of a model names another. Reading is `read`; the one
thing that is written, a comment, carries a hidden mark by which a lost call is found again.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from podium.core.errors import ConfigurationError, NotDone, ToolError
from podium.ports import ToolContext
from podium.tools.function import FunctionTool, tool

from .process import Output, run

MOST_BYTES: Final = 4_000_000
MOST_CHARACTERS: Final = 40_000
MISSING: Final = "the GitHub CLI is not installed: install `gh` (https://cli.github.com) and run `gh auth login`"
LOGIN: Final = "the GitHub CLI is not logged in: run `gh auth login` (or set GH_TOKEN), then try again"
_REPOSITORY: Final = re.compile(r"(?:[\w.-]+/)?[\w.-]+/[\w.-]+")
_LISTED: Final = "number,title,state,author,labels,updatedAt,url"
_ISSUE: Final = f"{_LISTED},body,comments"
_PULL: Final = (
    f"{_LISTED},body,comments,baseRefName,headRefName,isDraft,additions,deletions,changedFiles,reviewDecision"
)
_ELSEWHERE: Final = re.compile(r"(?<!\w)(?:repo|org|user|owner|enterprise)\s*:", re.IGNORECASE)
"""Words of GitHub's search that name other repositories: it would give what either of two names has."""
State = Literal["open", "closed", "all"]


def gh(arguments: tuple[str, ...], *, timeout: float, max_bytes: int, stdin: bytes = b"") -> Output:
    """Run `gh`; its exit code is the caller's to judge. Raises ConfigurationError when it is missing or too slow."""
    # In an empty folder: the arguments say all, and `gh` must not read the configuration of a repository.
    with tempfile.TemporaryDirectory() as folder:
        try:
            return run(
                ("gh", *arguments),
                cwd=Path(folder),
                env=environment(),
                timeout=timeout,
                max_bytes=max_bytes,
                stdin=stdin,
            )
        except FileNotFoundError:
            raise ConfigurationError(MISSING) from None


def environment() -> Mapping[str, str]:
    """The environment of `gh`: it asks nothing and draws nothing."""
    quiet = {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "GH_PAGER": "cat", "NO_COLOR": "1"}
    return os.environ | quiet | {"GIT_TERMINAL_PROMPT": "0"}


def logged_out(found: Output) -> bool:
    """Whether `gh` failed because nobody is logged in."""
    error = found.error.lower()
    return found.code == 4 or "gh auth login" in error or "authentication" in error or "401" in error


def github_tools(repository: str, *, write: bool = False, timeout: float = 30.0) -> list[FunctionTool[..., Any]]:
    """Tools for one repository (`OWNER/NAME`, or `HOST/OWNER/NAME`): `github_issues`, `github_issue`,
    `github_pull_requests`, `github_pull_request`, `github_diff`, and with `write` also `github_comment`.

    `timeout` bounds each call of `gh`, in seconds. Raises ConfigurationError for a name that is none; a missing `gh` or
    login is told when a tool is called.
    """
    if not _REPOSITORY.fullmatch(repository) or repository.startswith("-"):
        raise ConfigurationError(f"{repository!r} is not a repository: write OWNER/NAME")
    ask = _Asker(repository, timeout)
    tools = _reading(ask)
    return [*tools, _comment(ask)] if write else tools


class _Asker:
    def __init__(self, repository: str, timeout: float) -> None:
        self._repository, self._timeout = repository, timeout

    async def __call__(self, *arguments: str, stdin: bytes = b"", sent: bool = False) -> bytes:
        """What `gh` prints. `sent` says that a failure may have come after the effect."""
        command = (*arguments, "--repo", self._repository)
        try:
            found = await asyncio.to_thread(gh, command, timeout=self._timeout, max_bytes=MOST_BYTES, stdin=stdin)
        except ConfigurationError as error:
            if str(error) == MISSING:
                raise NotDone(MISSING, retry=False) from None
            raise ToolError(str(error)) from None
        if found.code and not found.truncated:
            if logged_out(found):
                raise NotDone(LOGIN, retry=False)
            raise (RuntimeError if sent else ToolError)(f"gh: {found.complaint}")
        return found.data

    async def json(self, *arguments: str) -> Any:
        data = await self(*arguments)
        try:
            return msgspec.json.decode(data)
        except msgspec.DecodeError:
            raise ToolError("the GitHub CLI answered in an unknown form: update it (`gh --version`)") from None


def _reading(ask: _Asker) -> list[FunctionTool[..., Any]]:
    @tool(effect="read", reach="external", network=True, tags="github", capabilities="pull-requests")
    async def github_diff(number: int) -> dict[str, Any]:
        """Read what a pull request changes.

        Args:
            number: its number
        """
        text = (await ask("pr", "diff", _number(number), "--color", "never")).decode("utf-8", "replace")
        return {"diff": text[:MOST_CHARACTERS], "more": len(text) > MOST_CHARACTERS}

    issues = [_listing(ask, "issue", "issues"), _showing(ask, "issue", "an issue", _ISSUE)]
    return [*issues, _listing(ask, "pr", "pull requests"), _showing(ask, "pr", "a pull request", _PULL), github_diff]


def _listing(ask: _Asker, kind: str, many: str) -> FunctionTool[..., Any]:
    named = many.replace(" ", "_")

    @tool(
        name=f"github_{named}", description=f"List {many}.", effect="read", reach="external", network=True,
        tags="github", capabilities=many.replace(" ", "-"),
    )  # fmt: skip
    async def listed(search: str = "", state: State = "open", limit: int = 20) -> Any:
        """List.

        Args:
            search: words to look for
            state: open, closed or all
            limit: how many at most
        """
        if _ELSEWHERE.search(search):
            raise ToolError("only this repository is searched: leave out repo:, org:, user: and owner:")
        words = ("--search", search) if search else ()
        return await ask.json(kind, "list", "--state", state, "--limit", _most(limit), "--json", _LISTED, *words)

    return listed


def _showing(ask: _Asker, kind: str, one: str, fields: str) -> FunctionTool[..., Any]:
    named = one.partition(" ")[2]

    @tool(
        name=f"github_{named.replace(' ', '_')}", description=f"Read {one} and its comments.", effect="read",
        reach="external", network=True, tags="github", capabilities=f"{named.replace(' ', '-')}s",
    )  # fmt: skip
    async def shown(number: int) -> Any:
        """Read.

        Args:
            number: its number
        """
        return _cut(await ask.json(kind, "view", _number(number), "--json", fields))

    return shown


def _comment(ask: _Asker) -> FunctionTool[..., Any]:
    async def made(key: str, args: dict[str, Any]) -> dict[str, Any]:
        shown = await ask.json("issue", "view", _number(args["number"]), "--json", "comments")
        for each in shown["comments"]:
            if _mark(key) in each.get("body", ""):
                return {"url": each.get("url", "")}
        raise NotDone(f"no comment on #{args['number']} carries this call's mark")

    @tool(
        effect="write", reach="external", network=True, tags="github", capabilities="issues", reconcile=made,
        output_label="trusted",
    )  # fmt: skip
    async def github_comment(number: int, body: str, ctx: ToolContext) -> dict[str, Any]:
        """Comment on an issue or a pull request.

        Args:
            number: its number
            body: the comment, in Markdown
        """
        if not body.strip() or len(body) > 60_000:
            raise NotDone("a comment has 1 to 60,000 characters", retry=False)
        text = f"{body}\n\n{_mark(ctx.idempotency_key)}"
        url = await ask("issue", "comment", _number(number), "--body-file", "-", stdin=text.encode(), sent=True)
        return {"url": url.decode("utf-8", "replace").strip()[:500]}

    return github_comment


def _mark(key: str) -> str:
    # A comment of HTML is not shown; two hyphens would end it.
    return f"<!-- podium {re.sub('[^A-Za-z0-9_./:]', '_', key)} -->"


def _number(number: int) -> str:
    if number < 1:
        raise ToolError(f"{number} is not the number of an issue or a pull request")
    return str(number)


def _most(limit: int) -> str:
    return str(max(1, min(limit, 100)))


def _cut(shown: Any) -> Any:
    """Long texts cut, so that one issue does not fill a model's window."""
    if isinstance(shown, str):
        return shown if len(shown) <= 8000 else f"{shown[:8000]}… {len(shown) - 8000} more characters"
    if isinstance(shown, list):
        return [_cut(each) for each in shown[-50:]]  # pyright: ignore[reportUnknownVariableType] - plain JSON
    if isinstance(shown, dict):
        return {key: _cut(value) for key, value in shown.items()}  # pyright: ignore[reportUnknownVariableType]
    return shown
