"""An exported audit log: whatever happens to its bytes is found, and a log of any length is read in bounded memory."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.app.audit import AuditReport, verify_file
from podium.core.audit import AuditEntry
from podium.core.audit_file import Lines

KEY = b"k" * 32


def written(path: Path, entries: int, key: bytes | None = KEY) -> Path:
    lines = Lines()
    with path.open("wb") as file:
        file.write(lines.header({"at": 1.0}))
        for number in range(entries):
            entry = AuditEntry(
                run=f"run-{number // 20}",
                seq=number % 20,
                at=1000.5 + number,
                event="tool",
                name="refund",
                args={"order": f"A-{number}", "note": "Grüße"},
                verdict="",
                success=True,
            )
            file.write(lines.entry(entry))
        file.write(lines.footer(key))
    return path


def proven(path: Path, data: bytes, key: bytes | None = KEY) -> AuditReport:
    path.write_bytes(data)
    return verify_file(path, key)


def test_an_untouched_log_is_right_with_and_without_the_key(tmp_path: Path) -> None:
    path = written(tmp_path / "log", 30)
    report = verify_file(path, KEY)
    assert (report.ok, report.entries, report.signed) == (True, 30, True)
    report = verify_file(path, None)
    assert (report.ok, report.entries, report.signed) == (True, 30, False)
    assert [each.what for each in verify_file(path, b"another").findings] == ["signature"]


def test_a_log_that_was_written_anew_without_the_key_is_found_with_it(tmp_path: Path) -> None:
    path = written(tmp_path / "log", 30, b"a forger's key")
    assert not verify_file(path, KEY).ok


def test_a_log_that_was_written_anew_without_a_signature_is_found_with_the_key(tmp_path: Path) -> None:
    path = written(tmp_path / "log", 30, None)
    assert [each.what for each in verify_file(path, KEY).findings] == ["signature"]
    assert verify_file(path, None).ok, "whoever has no key can check the chain, and is told that no signature was"


# ------------------------------------------------------------------------------------------------------ tampering


def _edit(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes((data[place] ^ chance.randint(1, 255),)) + data[place + 1 :]


def _take(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + data[place + chance.randint(1, 200) :]


def _put(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.randbytes(chance.randint(1, 20)) + data[place:]


def _swap_bytes(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    one, other = chance.randrange(len(data)), chance.randrange(len(data))
    changed[one], changed[other] = changed[other], changed[one]
    return bytes(changed)


def _lines(change: Callable[[list[bytes], random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    def tamper(data: bytes, chance: random.Random) -> bytes:
        lines = data.splitlines(keepends=True)
        change(lines, chance)
        return b"".join(lines)

    return tamper


def _swap_lines(lines: list[bytes], chance: random.Random) -> None:
    one, other = chance.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]


def _drop_lines(lines: list[bytes], chance: random.Random) -> None:
    place = chance.randrange(len(lines))
    del lines[place : place + chance.randint(1, 5)]


def _copy_line(lines: list[bytes], chance: random.Random) -> None:
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


TAMPERINGS = {
    "a byte edited": _edit,
    "bytes taken out": _take,
    "bytes put in": _put,
    "two bytes exchanged": _swap_bytes,
    "two lines exchanged": _lines(_swap_lines),
    "lines taken out": _lines(_drop_lines),
    "a line repeated": _lines(_copy_line),
    "the end cut off": _cut,
}


def tampered(path: Path, times: int, seed: int, key: bytes | None) -> int:
    """Tamper so often with an untouched log; how often it was done."""
    chance = random.Random(seed)
    clean = written(path, 40).read_bytes()
    done = 0
    names = list(TAMPERINGS)
    while done < times:
        name = names[done % len(names)]
        data = TAMPERINGS[name](clean, chance)
        if data == clean:
            continue
        report = proven(path, data, key)
        assert not report.ok, f"{name} (seed {seed}, number {done}) was not found"
        done += 1
    return done


@pytest.mark.parametrize("key", [KEY, None], ids=["with the key", "without the key"])
def test_two_thousand_random_tamperings_are_found(tmp_path: Path, key: bytes | None) -> None:
    assert tampered(tmp_path / "log", 2000, 1, key) == 2000


@pytest.mark.slow
@pytest.mark.parametrize("key", [KEY, None], ids=["with the key", "without the key"])
def test_ten_thousand_random_tamperings_are_found(tmp_path: Path, key: bytes | None) -> None:
    assert tampered(tmp_path / "log", 10_000, 2, key) == 10_000


def test_what_happened_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "log", 10)
    lines = path.read_bytes().splitlines(keepends=True)

    def found(changed: list[bytes]) -> list[tuple[str, int | None]]:
        return [(each.what, each.first) for each in proven(path, b"".join(changed)).findings]

    assert ("changed", 4) in found([*lines[:3], lines[3].replace(b"A-2", b"A-3"), *lines[4:]])
    assert ("missing", 4) in found([*lines[:3], *lines[5:]])
    assert ("swapped", 5) in found([*lines[:3], lines[4], lines[3], *lines[5:]])
    assert ("inserted", 5) in found([*lines[:4], lines[3], *lines[4:]])
    assert found(lines[:-1]) == [("truncated", 12)]
    assert found([*lines, b"more\n"]) == [("inserted", 13)]
    assert found([]) == [("truncated", 1)]


def test_a_file_that_is_no_log_is_a_few_findings_and_no_error(tmp_path: Path) -> None:
    report = proven(tmp_path / "log", random.Random(3).randbytes(300_000))
    assert not report.ok
    assert len(report.findings) <= 200
    assert not proven(tmp_path / "log", b"x" * 3_000_000).ok


CHILD = """
import resource, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from podium.app.audit import verify_file
import test_audit_file as made

path = Path({path!r})
if sys.argv[1] == "write":
    made.written(path, int(sys.argv[2]))
else:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = verify_file(path, made.KEY)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(report.ok, report.entries, report.signed, grown, report.seconds)
"""


@pytest.mark.slow
def test_a_million_entries_are_proven_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large"
    code = CHILD.format(tests=str(Path(__file__).parent), path=str(path))

    def child(*words: str) -> str:
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        return done.stdout

    child("write", "1000000")
    ok, entries, signed, grown, seconds = child("verify").split()
    sys.stdout.write(f"1,000,000 entries: {seconds} s, {grown} KiB more memory\n")
    assert (ok, entries, signed) == ("True", "1000000", "True")
    assert int(grown) < 16 * 1024, "KiB more than before the file was opened"
