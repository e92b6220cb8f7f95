"""`podium crashtest` and `podium demo` as scripts meet them."""

import json
from pathlib import Path

import pytest
import typer

from podium.cli import crashtest, demo

TARGETS = Path(__file__).parent / "targets"


def call(capsys, module, *arguments: str) -> tuple[int, str, str]:
    app = typer.Typer()
    module.register(app)
    app.callback(invoke_without_command=True)(lambda: None)
    try:
        code = app(list(arguments), standalone_mode=False)
    except typer.Exit as left:
        code = left.exit_code
    said = capsys.readouterr()
    return int(code or 0), said.out, said.err


def test_a_sound_target_exits_with_0_and_prints_the_table(capsys):
    code, out, _ = call(capsys, crashtest, "crashtest", f"{TARGETS}/clean.py:team", "ann", "--max-boundaries", "6")
    assert code == 0
    assert out.splitlines()[0].split()[:3] == ["boundary", "kills", "outcome"]
    assert "every boundary equal" in out.splitlines()[-1]


def test_a_fault_exits_with_1_and_says_what_to_do(capsys):
    code, out, _ = call(capsys, crashtest, "crashtest", f"{TARGETS}/read_that_writes.py:team", "ann", "-v")
    assert code == 1
    assert 'declare effect="write"' in out
    assert "before Ended team.1/look_up.1 (record 4)" in out


def test_json_holds_the_verdict_the_rows_and_the_totals(capsys):
    arguments = [f"{TARGETS}/clean.py:team", "ann", "--max-boundaries", "2", "--json", "--answers", '{"ask": "carol"}']
    code, out, _ = call(capsys, crashtest, "crashtest", *arguments)
    report = json.loads(out)
    assert code == 0
    assert report["ok"] is True
    assert report["baseline"]["output"] == ["sent to ann", "sent to carol"]
    assert len(report["rows"]) == report["totals"]["boundaries"] == 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [(["nowhere.py:team"], "no file"), (["x.py:team", "--answers", "{"], "is not JSON"),
     (["x.py:team", "--answers", "[]"], "JSON object")],
)  # fmt: skip
def test_usage_errors_exit_with_2_and_one_line(capsys, arguments, line):
    code, out, err = call(capsys, crashtest, "crashtest", *arguments)
    assert (code, out) == (2, "")
    assert line in err
    assert len(err.splitlines()) == 1


def test_the_demo_kills_resumes_and_shows_that_nothing_was_done_twice(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PODIUM_WORLD", "")
    code, out, _ = call(capsys, demo, "demo", "--fast", "--keep", str(tmp_path / "kept"))
    assert code == 0, out
    assert "kill -9" in out
    assert "In doubt: Did send_mail happen?" in out
    assert "Approval: clerk wants to call send_newsletter" in out
    assert "Three mails, each sent once." in out
    mails = [json.loads(path.read_text()) for path in (tmp_path / "kept" / "outbox").glob("mail-*.json")]
    assert sorted(mail["to"] for mail in mails) == ["ann@example.com", "bob@example.com", "everybody"]
    assert len({mail["idempotency_key"] for mail in mails}) == 3


def test_the_demo_does_not_mix_with_an_earlier_one(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PODIUM_WORLD", "")
    (tmp_path / "demo.db").touch()
    code, _, err = call(capsys, demo, "demo", "--fast", "--keep", str(tmp_path))
    assert code == 1
    assert "name a new folder" in err
