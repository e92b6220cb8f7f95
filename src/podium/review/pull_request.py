"""A pull request as a `Change`, through the GitHub command `gh`, which holds the credentials; this module sees none."""

from __future__ import annotations

import re

import msgspec
from msgspec.structs import replace

from podium.core.errors import ConfigurationError
from podium.review.change import Change, Commit
from podium.review.diff import parse
from podium.tools.builtin.github import LOGIN, MISSING, gh, logged_out
from podium.tools.builtin.process import Output

_URL = re.compile(r"https://[\w.-]+(?::\d+)?/[\w.-]+/[\w.-]+/pull/\d+(?:[/?#]\S*)?")
_FIELDS = "title,body,baseRefOid,headRefOid,baseRefName,headRefName,commits"
_MISSING = (
    "--pr needs the GitHub CLI: install `gh` (https://cli.github.com) and run `gh auth login`, "
    "or fetch the branch and review BASE...BRANCH"
)
_TOO_LARGE = "GitHub does not serve a diff of this size: fetch the branch with `gh pr checkout` and review BASE...HEAD"


class _Author(msgspec.Struct):
    name: str | None = ""
    login: str | None = ""


class _Commit(msgspec.Struct, rename="camel"):
    oid: str = ""
    message_headline: str = ""
    authored_date: str = ""
    authors: list[_Author] = []


class _View(msgspec.Struct, rename="camel"):
    title: str = ""
    body: str | None = ""
    base_ref_oid: str | None = ""
    head_ref_oid: str | None = ""
    base_ref_name: str | None = ""
    head_ref_name: str | None = ""
    commits: list[_Commit] = []


def fetch(url: str, *, timeout: float = 60.0, max_bytes: int = 16 * 1024 * 1024) -> Change:
    """The pull request at `url` (`https://github.com/OWNER/REPO/pull/NUMBER`, or on a GitHub Enterprise host).

    `timeout` (seconds) bounds each of the two commands. Raises `ConfigurationError`, with the remedy, for a bad
    URL, a missing `gh`, a missing login, or whatever else `gh` complains of.
    """
    address = url.strip()
    if not _URL.fullmatch(address):
        raise ConfigurationError("--pr needs the address of a pull request: https://github.com/OWNER/REPO/pull/NUMBER")
    address = re.split(r"[?#]", address)[0]
    address = address[: re.match(r".*?/pull/\d+", address).end()]  # pyright: ignore[reportOptionalMemberAccess] - just matched
    shown = _gh(("pr", "view", address, "--json", _FIELDS), timeout, max_bytes)
    try:
        view = msgspec.json.decode(shown.data, type=_View)
    except msgspec.MsgspecError:
        raise ConfigurationError("the GitHub CLI answered in an unknown form: update it (`gh --version`)") from None
    patch = _gh(("pr", "diff", address, "--color", "never"), timeout, max_bytes)
    change = parse(
        patch.data,
        title=view.title,
        description=view.body or "",
        base=view.base_ref_oid or "",
        head=view.head_ref_oid or "",
    )
    notes = ()
    if patch.truncated:
        change = replace(change, files=change.files[:-1])
        notes = (f"the diff is larger than {max_bytes // 1024 // 1024} MiB: files after that are left out",)
    return replace(change, commits=tuple(reversed([_commit(each) for each in view.commits])), notes=notes)


def _commit(raw: _Commit) -> Commit:
    author = next((a.name or a.login or "" for a in raw.authors), "")
    return Commit(raw.oid, raw.authored_date, author, raw.message_headline[:500])


def _gh(arguments: tuple[str, ...], timeout: float, max_bytes: int) -> Output:
    try:
        found = gh(arguments, timeout=timeout, max_bytes=max_bytes)
    except ConfigurationError as error:
        raise ConfigurationError(_MISSING if str(error) == MISSING else str(error)) from None
    if found.code and not found.truncated:
        if logged_out(found):
            raise ConfigurationError(LOGIN)
        error = found.error.lower()
        if "406" in error or "exceeded the maximum" in error:
            raise ConfigurationError(_TOO_LARGE)
        raise ConfigurationError(f"the GitHub CLI could not read the pull request: {found.complaint}")
    return found
