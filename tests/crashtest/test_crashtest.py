"""`crashtest`: what is sound passes at every boundary, and every planted fault is found and named."""

from pathlib import Path
from typing import Any

import pytest

from podium import ConfigurationError
from podium.testing.crashtest import CrashReport, crashtest

TARGETS = Path(__file__).parent / "targets"
EXAMPLES = Path(__file__).parents[2] / "examples"


def run(target: str, **options: Any) -> CrashReport:
    options = {"jobs": 1, **options}
    return crashtest(f"{TARGETS / target}", "ann", **options)


def only(report: CrashReport):
    """The one finding there is."""
    assert len(report.findings) == 1, report.text()
    assert not report.ok
    return report.findings[0]


# ------------------------------------------------------------------------------------------------------------- sound


def test_a_sound_team_is_equal_at_every_boundary():
    report = run("clean.py:team").check()
    assert report.ok
    assert report.boundaries == len(report.rows) == 2 * report.baseline.records
    assert report.silent_repeats == 0
    assert report.baseline.output == ["sent to ann", "sent to bob"]
    assert (report.baseline.cost, report.baseline.holds, report.baseline.effects) == ("0.04", 1, 2)
    # A write that was killed between Began and Ended is asked about, never guessed at.
    asked = {(row.boundary.when, row.boundary.record) for row in report.rows if row.asked}
    assert ("after", "Began") in asked
    assert ("before", "Ended") in asked
    assert report.lost_attempts > 0


def test_a_tool_that_can_look_needs_nobody_to_be_asked():
    report = run("honest_reconcile.py:team").check()
    assert report.asked == 0


@pytest.mark.slow
def test_the_example_with_branches_an_approval_and_a_timer_survives_every_crash():
    report = crashtest(f"{EXAMPLES / 'crash_team.py'}:team", "order 7").check()
    assert report.boundaries >= 80
    assert report.silent_repeats == 0
    assert report.asked > 0
    assert report.baseline.timers == 1
    assert report.baseline.cost == "0.08"
    assert {"before Held", "after Held", "before Suspended", "after Signalled", "after Finished"} <= {
        kind.name for kind in report.kinds()
    }


def test_signals_and_retries_survive_every_crash():
    report = run("many.py:signalled").check()
    assert report.baseline.output == [{"n": 1}, "sent to boss"]


def test_an_agent_with_parallel_calls_survives_every_crash():
    run("many.py:agent").check()


def test_a_run_that_fails_fails_the_same_way_after_every_crash():
    report = run("many.py:failing").check()
    assert (report.baseline.status, report.baseline.error) == ("failed", "MemberFailed: ValueError: the customer left")


@pytest.mark.slow
def test_child_runs_survive_every_crash():
    run("many.py:parent", jobs=2).check()


@pytest.mark.slow
def test_races_and_timeouts_survive_every_crash():
    run("many.py:racing", jobs=2).check()


def test_an_outcome_of_ctx_random_is_compared_by_its_status():
    report = run("many.py:lucky").check()
    assert any("ctx.random" in note for note in report.notes)


# ------------------------------------------------------------------------------------------------------------ faults


def test_a_read_that_writes_is_found_and_named():
    report = run("read_that_writes.py:team")
    finding = only(report)
    assert "tool look_up is declared read but changed the world" in finding.message
    assert 'declare effect="write"' in finding.message
    assert finding.count > 0
    assert report.silent_repeats > 0


def test_a_reconcile_that_denies_what_happened_is_found_and_named():
    finding = only(run("lying_reconcile.py:denying"))
    assert "reconcile of tool denied said that it had not happened, but it had" in finding.message
    assert finding.key == "denying.1/denied.1"


def test_a_reconcile_that_claims_what_did_not_happen_is_found_and_named():
    finding = only(run("lying_reconcile.py:claiming"))
    assert "reconcile of tool claimed said that it had happened, but it had not" in finding.message


def test_an_effect_outside_ctx_is_found_and_placed():
    finding = only(run("outside_ctx.py:team"))
    assert "done outside ctx, after Ended team.1/mail.1" in finding.message
    assert "a tool called through ctx" in finding.message


def test_an_idempotent_tool_that_is_none_is_found_and_named():
    finding = only(run("repeated_idempotent.py:team"))
    assert "tool charge is declared idempotent but acted twice with one key" in finding.message


@pytest.mark.parametrize(
    ("name", "key", "needs_a_kill"),
    [("by_chance", "mail.1", False), ("by_hash", "mail.1", False), ("by_world", "mail.2", True)],
)
def test_a_member_that_is_not_deterministic_is_found_and_placed(name, key, needs_a_kill):
    finding = only(run(f"not_deterministic.py:{name}"))
    assert finding.key == f"{name}.1/{key}"
    assert "deterministic between steps" in finding.message
    assert ("without any kill" not in finding.message) == needs_a_kill


# ----------------------------------------------------------------------------------------------------------- the test


def test_check_raises_with_the_whole_report():
    with pytest.raises(AssertionError, match="does not survive every crash") as caught:
        run("read_that_writes.py:team", max_boundaries=2).check()
    assert "before Started" in str(caught.value)


def test_a_sample_is_even_and_reaches_both_ends():
    report = run("clean.py:team", max_boundaries=3)
    assert (report.rows[0].boundary.number, report.rows[0].boundary.when) == (1, "before")
    assert report.rows[-1].boundary.record == "Finished"
    assert len(report.rows) == 3


def test_answers_decide_for_people():
    report = run("clean.py:team", answers={"Who else?": "carol"}, max_boundaries=4).check()
    assert report.baseline.output == ["sent to ann", "sent to carol"]


def test_a_folder_that_is_named_keeps_every_store_and_world(tmp_path):
    folder = tmp_path / "kept"
    run("clean.py:team", max_boundaries=2, folder=folder)
    assert (folder / "baseline" / "podium.db").exists()
    assert (folder / "0001-before" / "world").is_dir()
    with pytest.raises(ConfigurationError, match="is not empty"):
        run("clean.py:team", folder=folder)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    run("clean.py:team", max_boundaries=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("clean.py:nobody", "has no 'nobody'"),
        ("missing.py:team", "no file"),
        ("broken_hooks.py:team", "effects of .* must be a plain function of 1 parameter"),
        ("starts_threads.py:team", "starts threads"),
        ("calls_a_model.py:team", "a crash test runs hundreds of times"),
    ],
)
def test_a_target_that_cannot_be_tested_is_refused_with_the_reason(target, line):
    with pytest.raises(ConfigurationError, match=line):
        run(target).check()


@pytest.mark.parametrize("options", [{"jobs": 0}, {"max_boundaries": 0}])
def test_bad_numbers_are_refused(options):
    with pytest.raises(ConfigurationError):
        run("clean.py:team", **options)
