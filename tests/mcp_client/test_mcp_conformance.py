"""The client passes 25 of the 26 client scenarios of the official conformance suite (0.1.16), over `MCPTools`.

Each scenario is a server of the suite that judges what `conformance_client.py` sends it. The scenarios are listed here
too, so that one which appears or disappears with another version of the suite is seen.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from peers import SECONDS, command, missing

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]
CLIENT = Path(__file__).parent / "conformance_client.py"

SCENARIOS = (
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "auth/metadata-default",
    "auth/metadata-var1",
    "auth/metadata-var2",
    "auth/metadata-var3",
    "auth/basic-cimd",
    "auth/scope-from-www-authenticate",
    "auth/scope-from-scopes-supported",
    "auth/scope-omitted-when-undefined",
    "auth/scope-step-up",
    "auth/scope-retry-limit",
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
    "auth/pre-registration",
    "auth/2025-03-26-oauth-endpoint-fallback",
    "auth/resource-mismatch",
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
    "auth/client-credentials-jwt",
    "auth/client-credentials-basic",
    "auth/cross-app-access-complete-flow",
)

REFUSED = {"auth/2025-03-26-oauth-metadata-backcompat": "Authorization server metadata issuer mismatch"}
"""Scenarios that are not passed, and what the client says. This one's server names as its issuer an address it is not
at; RFC 8414 (3.3) says that such metadata must not be used, and the SDK does not."""


def suite(*args: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command("conformance"), *args],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "NO_COLOR": "1"},
        text=True,
        check=False,
        timeout=SECONDS,
    )


def test_every_client_scenario_of_the_suite_is_run(tmp_path: Path):
    listed = re.findall(r"^ +- (\S+)", suite("list", "--client", folder=tmp_path).stdout, re.MULTILINE)
    assert sorted(listed) == sorted([*SCENARIOS, *REFUSED])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_client_passes_the_scenario(scenario: str, tmp_path: Path):
    program = f"{sys.executable} {CLIENT}"
    judged = suite("client", "--command", program, "--scenario", scenario, "--timeout", "60000", folder=tmp_path)
    assert judged.returncode == 0, judged.stdout[-6000:]
    passed, run = re.findall(r"Passed: (\d+)/(\d+), 0 failed, 0 warnings", judged.stdout)[-1]
    assert int(passed) == int(run) > 0


@pytest.mark.parametrize(("scenario", "reason"), REFUSED.items())
def test_the_client_refuses_what_the_specification_forbids(scenario: str, reason: str, tmp_path: Path):
    program = f"{sys.executable} {CLIENT}"
    judged = suite("client", "--command", program, "--scenario", scenario, "--timeout", "60000", folder=tmp_path)
    assert judged.returncode != 0
    assert reason in judged.stdout
