"""The whole crash test: the uninterrupted runs first, then a kill and a resume at every boundary, side by side.

Each boundary has a store and a world of its own. A run is killed in one template's child and resumed in another's,
whose hash seed differs, as it would after a restart.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import msgspec

from podium.core.errors import ConfigurationError

from . import judge
from .job import Job, Life
from .life import NO_MODELS
from .report import Baseline, Boundary, CrashReport, Difference, Row
from .template import Template, Told, available

Progress = Callable[[int, int], None]
"""Called with how many boundaries are done, and of how many."""


def crashtest(
    target: str,
    input: Any = None,
    *,
    answers: Mapping[str, Any] | None = None,
    max_boundaries: int | None = None,
    jobs: int = 2,
    folder: str | Path | None = None,
    timeout: float = 60.0,
    model: str = "offline",
    allow_real_models: bool = False,
    progress: Progress | None = None,
) -> CrashReport:
    """Kill a real process with SIGKILL before and after every record of a run, resume it, and compare.

    `target` is `module:attribute` or `file.py:attribute`; see `podium.testing.crashtest.subject` for what its module
    may supply. `answers` decides for people, by step key, tool, question, signal name, or `approval`, `ask`, `signal`;
    without one everything is approved, and a question gets its first choice. `max_boundaries` takes an even sample.
    `jobs` kills run side by side. `folder` keeps stores and worlds (it is made, and must be empty); otherwise they are
    deleted. `timeout` is in real seconds for one life of a run. `model` is for agents that name none.

    Synchronous; leaves no process behind. Raises ConfigurationError for a TARGET that cannot be tested.
    """
    if not available():
        raise ConfigurationError("a crash test needs fork and SIGKILL: run it on Linux or macOS")
    if max_boundaries is not None and max_boundaries < 1:
        raise ConfigurationError(f"max_boundaries={max_boundaries!r}: give 1 or more, or leave it out for all")
    if jobs < 1:
        raise ConfigurationError(f"jobs={jobs!r}: give 1 or more")
    began = time.monotonic()
    with _Folder(folder) as root:
        job = Job(
            "", input, dict(answers or {}), allow_real_models=allow_real_models, model=model, patience=timeout / 12
        )
        test = _Test(target, job, root, timeout, keep=folder is not None)
        try:
            return test.run(jobs, max_boundaries, progress, began)
        finally:
            test.close()


class _Folder:
    """Where stores and worlds are: the caller's folder, or one that is deleted."""

    def __init__(self, folder: str | Path | None) -> None:
        self._given = None if folder is None else Path(folder).resolve()
        self._root = Path()

    def __enter__(self) -> Path:
        if self._given is None:
            self._root = Path(tempfile.mkdtemp(prefix="podium-crashtest-"))
            return self._root
        self._given.mkdir(parents=True, exist_ok=True)
        if any(self._given.iterdir()):
            raise ConfigurationError(
                f"{self._given} is not empty: name a new folder, since every boundary needs a new store"
            )
        return self._given

    def __exit__(self, *_: object) -> None:
        if self._given is None:
            shutil.rmtree(self._root, ignore_errors=True)


class _Pair:
    """Two templates: one whose children are killed, one whose children take up what is left."""

    def __init__(self, target: str, folder: Path, timeout: float) -> None:
        self.first = Template(target, folder=folder, seed=1, timeout=timeout)
        self.second = Template(target, folder=folder, seed=2, timeout=timeout)

    def close(self) -> None:
        self.first.close()
        self.second.close()


class _Test:
    def __init__(self, target: str, job: Job, root: Path, timeout: float, *, keep: bool) -> None:
        self._target, self._job, self._root, self._timeout, self._keep = target, job, root, timeout, keep
        self._logs = root / "logs"
        self._logs.mkdir()
        self._pairs: list[_Pair] = []
        self._failures: list[BaseException] = []

    def close(self) -> None:
        for pair in self._pairs:
            pair.close()

    def _pair(self) -> _Pair:
        pair = _Pair(self._target, self._logs, self._timeout)
        self._pairs.append(pair)
        return pair

    def run(self, jobs: int, most: int | None, progress: Progress | None, began: float) -> CrashReport:
        pairs = [self._pair() for _ in range(jobs)]
        templates = [template for pair in pairs for template in (pair.first, pair.second)]
        supplied = {template: template.ready() for template in templates}
        reads_the_world = supplied[templates[0]]
        base = self._uninterrupted(pairs[0].first, "baseline")
        again = self._uninterrupted(pairs[0].second, "again")
        verdict = judge.baseline(base, again, reads_the_world=reads_the_world)
        boundaries = list(_boundaries(base, most))
        rows = self._rows(pairs, boundaries, base, verdict, progress)
        return CrashReport(
            self._target,
            Baseline(
                base.status,
                base.output,
                base.error,
                base.cost,
                sum(base.effects.values()),
                len(base.points),
                base.holds,
                base.timers,
            ),
            tuple(rows),
            judge.findings(verdict.differences, rows),
            verdict.notes,
            time.monotonic() - began,
        )

    def _uninterrupted(self, template: Template, name: str) -> Life:
        told = template.live(msgspec.structs.replace(self._job, folder=self._fresh(name), observe=True))
        if told.life is None:
            raise ConfigurationError(f"{self._target} cannot be tested: without any kill, {told.problem}")
        if told.life.failure:
            raise ConfigurationError(f"{self._target} cannot be tested: without any kill, {told.life.message}")
        if NO_MODELS in told.life.error:
            raise ConfigurationError(f"{self._target} calls a real model: {NO_MODELS}")
        return told.life

    def _fresh(self, name: str) -> str:
        folder = self._root / name
        (folder / "world").mkdir(parents=True)
        return str(folder)

    def _rows(
        self,
        pairs: Sequence[_Pair],
        boundaries: Sequence[Boundary],
        base: Life,
        verdict: judge.Verdict,
        progress: Progress | None,
    ) -> list[Row]:
        waiting: SimpleQueue[tuple[int, Boundary]] = SimpleQueue()
        for entry in enumerate(boundaries):
            waiting.put(entry)
        done: dict[int, Row] = {}

        def work(pair: _Pair) -> None:
            try:
                while not self._failures:
                    try:
                        index, boundary = waiting.get_nowait()
                    except Empty:
                        return
                    done[index] = self._row(pair, boundary, base, verdict)
                    if progress is not None:
                        progress(len(done), len(boundaries))
            except BaseException as error:  # noqa: BLE001  (carried to the caller's thread, and raised there)
                self._failures.append(error)

        threads = [threading.Thread(target=work, args=(pair,), daemon=True) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]
        return [done[index] for index in sorted(done)]

    def _row(self, pair: _Pair, boundary: Boundary, base: Life, verdict: judge.Verdict) -> Row:
        began = time.monotonic()
        name = f"{boundary.number:04d}-{boundary.when}"
        job = msgspec.structs.replace(
            self._job, folder=self._fresh(name), changes=base.changes, results=verdict.results
        )
        first = pair.first.live(msgspec.structs.replace(job, kill=(boundary.number, boundary.when)))
        told = first
        if first.killed_at:
            told = pair.second.live(msgspec.structs.replace(job, resume=True))
        row = _judged(boundary, told, base, verdict, killed=bool(first.killed_at), seconds=time.monotonic() - began)
        if not self._keep and row.ok:
            shutil.rmtree(self._root / name, ignore_errors=True)
        return row


def _judged(boundary: Boundary, told: Told, base: Life, verdict: judge.Verdict, *, killed: bool, seconds: float) -> Row:
    if told.life is not None:
        return judge.row(boundary, told.life, base, verdict, killed=killed, seconds=seconds)
    missing = Difference("stuck", f"after a kill {boundary} the run came to no end: {told.problem}")
    return Row(boundary, killed, "unknown", False, False, False, seconds=seconds, differences=(missing,))


def _boundaries(base: Life, most: int | None) -> Iterator[Boundary]:
    every = [
        Boundary(number, when, place, key, run)
        for number, (place, run, key) in enumerate(base.points, 1)
        for when in ("before", "after")
    ]
    if most is None or most >= len(every):
        yield from every
    elif most == 1:
        yield every[len(every) // 2]
    else:
        for index in range(most):
            yield every[round(index * (len(every) - 1) / (most - 1))]
