"""Where a change under review comes from, as a value that can be journaled, and the change it names.

A run keeps only this value. A range of commits is read again from git, whose objects do not change. Everything else
(a patch, what is staged, a pull request) may be gone tomorrow and may hold secrets, which must not reach the journal:
the change is kept in a file of its own, for its owner's eyes, that the value names with its digest. So a resumed review
sees what the first one saw, and a kept change that was altered is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import msgspec

from podium.core.errors import ConfigurationError
from podium.review.bounds import bound
from podium.review.change import INDEX, Change, FileChange, Status
from podium.review.diff import parse
from podium.review.git import Repository
from podium.review.patch import patched
from podium.review.pull_request import fetch

MAX_PATCH = 16 * 1024 * 1024
"""Bytes of a patch that are read."""
KEPT_DAYS = 7
"""For how long a kept change stays: the time in which its review can be resumed or forked."""
_SUFFIX = ".change"


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """One way to name a change."""

    root: str = ""
    """The repository's top folder; empty when there is none at hand."""
    revisions: str = ""
    """Full revisions: `SHA`, `SHA..SHA` or `SHA...SHA`; empty for the other forms."""
    asked: str = ""
    """How the change was named, for people: `main..HEAD`, a file's name, an address."""
    kept: str = ""
    """The file that holds the change, when git does not."""
    digest: str = ""
    """SHA-256 of that file."""


class Named(msgspec.Struct, frozen=True):
    """A change that was found under the name somebody gave. `change` is None when git holds it for good."""

    source: Source
    change: Change | None = None


def name(
    *,
    folder: Path,
    revisions: str | None = None,
    staged: bool = False,
    patch: str | None = None,
    pull_request: str | None = None,
    asked: str = "",
) -> Named:
    """The change that command-line options name, with revisions resolved so that it means the same tomorrow.

    `asked` is how to call a patch. Raises ConfigurationError, with one line that says what to do, outside a repository
    (unless a patch or a pull request is given), for unknown revisions, and for whatever else keeps the change from
    being read.
    """
    if patch is not None:
        if len(patch.encode("utf-8", "replace")) > MAX_PATCH:
            raise ConfigurationError(f"the patch is larger than {MAX_PATCH // (1024 * 1024)} MiB: review a part of it")
        change = parse(patch)
        return Named(Source(_root(folder), asked=asked), msgspec.structs.replace(change, title=change.title or asked))
    if pull_request is not None:
        return Named(Source(_root(folder), asked=pull_request), fetch(pull_request))
    repository = Repository.discover(folder)
    if staged:
        return Named(Source(str(repository.root), asked="what is staged"), repository.change(staged=True))
    words = (revisions or "HEAD").strip()
    source = Source(str(repository.root), _resolved(repository, words), words)
    load(source)
    return Named(source)


def keep(named: Named, folder: Path) -> Source:
    """The source of what was found, once its change lies in a private file below `folder` (if git does not hold it).

    Changes that were kept there more than `KEPT_DAYS` ago are deleted.
    """
    if named.change is None:
        return named.source
    data = msgspec.msgpack.encode(named.change)
    digest = hashlib.sha256(data).hexdigest()
    file = folder.absolute() / f"{digest[:32]}{_SUFFIX}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        _forget(folder)
        # Under its name only when it is whole: another process may be about to read it. mkstemp makes it private.
        handle, draft = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
        Path(draft).replace(file)
    except OSError as error:
        raise ConfigurationError(f"the change cannot be kept in {folder}: {error.strerror or error}") from error
    return msgspec.structs.replace(named.source, kept=str(file), digest=digest)


def _forget(folder: Path) -> None:
    for each in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if each.stat().st_mtime < time.time() - KEPT_DAYS * 86400:
                each.unlink()


def _root(folder: Path) -> str:
    try:
        return str(Repository.discover(folder).root)
    except ConfigurationError:
        return ""


def _split(revisions: str) -> tuple[str, str, str]:
    for dots in ("...", ".."):
        if dots in revisions:
            return revisions.partition(dots)
    return revisions, "", ""


def _resolved(repository: Repository, revisions: str) -> str:
    left, dots, right = _split(revisions)
    if ".." in right:
        raise ConfigurationError(f"{revisions!r} is not a range: write A..B or A...B")
    if dots:
        return f"{repository.resolve(left or 'HEAD')}{dots}{repository.resolve(right or 'HEAD')}"
    return repository.resolve(revisions.removesuffix("^!"))


@lru_cache(maxsize=4)
def load(source: Source) -> Change:
    """The whole change. Remembered, since every tool of every reviewer asks for it.

    Raises ConfigurationError when it cannot be read (any more).
    """
    if not source.kept:
        return _worded(Repository(source.root).change(source.revisions), source)
    try:
        data = Path(source.kept).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the change of this review ({source.asked}) is not kept any more: review it again"
        ) from error
    if hashlib.sha256(data).hexdigest() != source.digest:
        raise ConfigurationError(f"the kept change of this review ({source.asked}) was altered: review it again")
    return msgspec.msgpack.decode(data, type=Change)


def _worded(change: Change, source: Source) -> Change:
    """The change with revisions named as they were asked for, where it speaks of them to people."""
    left, dots, right = _split(source.asked)
    if not dots:
        return change
    base, _, head = _split(source.revisions)

    def worded(text: str) -> str:
        whole = text.replace(source.revisions, source.asked)
        return whole.replace(base, left or "HEAD").replace(head, right or "HEAD")

    title = change.title
    if title.startswith(source.revisions):  # else it is the subject of the only commit
        title = source.asked + title.removeprefix(source.revisions)
    return msgspec.structs.replace(change, title=title, notes=tuple(worded(note) for note in change.notes))


@lru_cache(maxsize=4)
def shown(source: Source) -> Change:
    """The part of the change that fits before a model; `omitted` says what was left out."""
    change, omitted = bound(load(source))
    return msgspec.structs.replace(change, omitted=omitted)


def file_at_head(source: Source, path: str) -> str | None:
    """A file's text at the reviewed revision; None when it is not there, or cannot be known.

    Where only a patch is known, the text is what the patch makes of the repository's file (as committed or staged), or
    that file itself if it has the change already; nothing else would be the reviewed text.
    """
    change = load(source)
    file = change.file(path)
    whole = file.content() if file is not None else None
    if whole is not None or not source.root or (file is not None and file.status is Status.DELETED):
        return whole
    repository = Repository(source.root)
    if not source.kept or (change.head not in ("", INDEX) and repository.has(change.head)):
        return repository.file_at(path, change.head)
    return next(_patched(repository, change, file, path), None)


def _patched(repository: Repository, change: Change, file: FileChange | None, path: str) -> Iterator[str]:
    known = (change.base,) if change.base else ("HEAD", INDEX)
    revisions = [each for each in known if each == INDEX or repository.has(each)]
    for revision in revisions:
        old = repository.file_at(file.old_path or path if file else path, revision)
        new = old if file is None or not file.hunks or old is None else patched(old, file)
        if new is not None:
            yield new
    for revision in revisions if file is not None else ():
        new = repository.file_at(path, revision)
        if new is not None and file is not None and _has_already(new, file):
            yield new


def _has_already(text: str, file: FileChange) -> bool:
    lines = dict(enumerate(text.split("\n"), 1))
    return all(lines.get(number) == line for hunk in file.hunks for number, line, _ in hunk.new_side())
