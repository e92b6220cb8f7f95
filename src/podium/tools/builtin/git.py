"""Reading a git repository: history, changes, files as they were, search, blame. Nothing here writes.

How git is run without trusting the repository is `repository`'s business; here is what a model may ask and how much it
is shown.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from podium.core.errors import ConfigurationError, ToolError
from podium.tools.function import FunctionTool, tool

from .repository import Repository
from .rooted import lines_of

MOST_LINES: Final = 500
MOST_CHARACTERS: Final = 40_000
F = TypeVar("F", bound=Callable[..., Any])


def git_tools(root: str | os.PathLike[str] = ".", *, timeout: float = 30.0) -> list[FunctionTool[..., Any]]:
    """Tools for the repository that holds `root`: `git_log`, `git_show`, `git_diff`, `git_file`, `git_files`,
    `git_search` and `git_blame`, all of them `read`.

    `timeout` bounds each git command, in seconds. Raises ConfigurationError outside of a repository, or without git.
    """
    repository = _repository(root, timeout)
    return [*_history(repository), *_content(repository)]


def _repository(root: str | os.PathLike[str], timeout: float) -> Repository:
    try:
        return Repository.discover(root, timeout=timeout)
    except ConfigurationError as error:
        # Its own remedies are those of a review.
        if "not inside a git repository" in str(error):
            raise ConfigurationError(f"{root} is not inside a git repository: name a folder that is") from None
        raise


def _history(repository: Repository) -> list[FunctionTool[..., Any]]:
    @tool(effect="read", reach="none", tags="git", capabilities="version-control")
    @_told
    def git_log(path: str = "", revision: str = "HEAD", limit: int = 20) -> list[dict[str, Any]]:
        """See the latest commits.

        Args:
            path: only those that changed this file
            revision: the commit, branch or tag to begin at
            limit: how many at most
        """
        found = repository.history(path, limit=_within(limit, 200), revision=revision)
        return [msgspec.to_builtins(each) for each in found]

    @tool(effect="read", reach="none", tags="git", capabilities="version-control")
    @_told
    def git_show(revision: str = "HEAD") -> dict[str, Any]:
        """See one commit: who made it, its message and its difference to the commit before.

        Args:
            revision: the commit, branch or tag
        """
        commit = repository.history(limit=1, revision=revision)[0]
        text, more = _bounded(repository.patch(f"{commit.sha}^!"))
        return {**msgspec.to_builtins(commit), "message": repository.message(commit.sha), "diff": text, "more": more}

    @tool(effect="read", reach="none", tags="git", capabilities="version-control")
    @_told
    def git_diff(base: str, head: str = "HEAD", path: str = "") -> dict[str, Any]:
        """See what changed between two commits, branches or tags.

        Args:
            base: the earlier one
            head: the later one
            path: only this file or folder
        """
        text, more = _bounded(repository.patch(f"{base}..{head}", path))
        return {"diff": text, "more": more}

    return [git_log, git_show, git_diff]


def _content(repository: Repository) -> list[FunctionTool[..., Any]]:
    @tool(effect="read", reach="none", tags="git", capabilities="version-control")
    @_told
    def git_file(path: str, revision: str = "HEAD", start: int = 1, lines: int = 200) -> dict[str, Any]:
        """Read a file as it was at a revision.

        Args:
            path: the file, from the top folder
            revision: the commit, branch or tag
            start: the first line, from 1
            lines: how many lines at most
        """
        text = repository.file_at(path, revision)
        if text is None:
            raise ToolError(f"there is no text file {path} at {revision}: git_files lists those there are")
        every = lines_of(text)
        first = max(1, start)
        shown = every[first - 1 : first - 1 + _within(lines, MOST_LINES)]
        return {"path": path, "start": first, "lines": len(every), "text": "\n".join(shown)}

    @tool(effect="read", reach="none", tags="git", capabilities="version-control")
    @_told
    def git_files(folder: str = "", revision: str = "HEAD", limit: int = 200) -> dict[str, Any]:
        """List the files of a revision.

        Args:
            folder: only those below this folder
            revision: the commit, branch or tag
            limit: how many at most
        """
        lead = f"{folder.strip('/')}/" if folder.strip("/") else ""
        found = [path for path in repository.files(revision) if path.startswith(lead)]
        return {"files": found[: _within(limit, 1000)], "more": len(found) > _within(limit, 1000)}

    @tool(effect="read", reach="none", tags="git", capabilities="version-control")
    @_told
    def git_search(text: str, revision: str = "HEAD", limit: int = 50) -> list[dict[str, Any]]:
        """Find lines that contain a text, literally, in the files of a revision.

        Args:
            text: what to look for, within one line
            revision: the commit, branch or tag
            limit: how many lines at most
        """
        found = repository.search(text, revision=revision, limit=_within(limit, 200))
        return [msgspec.to_builtins(each) for each in found]

    @tool(effect="read", reach="none", tags="git", capabilities="version-control")
    @_told
    def git_blame(path: str, start: int = 1, lines: int = 50, revision: str = "HEAD") -> list[dict[str, Any]]:
        """See which commit last changed each line of a file.

        Args:
            path: the file, from the top folder
            start: the first line, from 1
            lines: how many lines at most
            revision: the commit, branch or tag
        """
        found = repository.blame(path, revision=revision, start=max(1, start), lines=_within(lines, MOST_LINES))
        return [msgspec.to_builtins(each) for each in found]

    return [git_file, git_files, git_search, git_blame]


def _told(ask: F) -> F:
    """What git refuses is for the model to correct."""

    @functools.wraps(ask)
    def asked(*args: Any, **kwargs: Any) -> Any:
        try:
            return ask(*args, **kwargs)
        except ConfigurationError as error:
            raise ToolError(str(error)) from None

    return asked  # pyright: ignore[reportReturnType] - the same signature


def _within(asked: int, most: int) -> int:
    return max(1, min(asked, most))


def _bounded(text: str) -> tuple[str, bool]:
    return text[:MOST_CHARACTERS], len(text) > MOST_CHARACTERS
