"""What it costs to begin: the import with one agent built, and what a base install brings."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

from measure import HERE, Settings, bytes_in, child_cpu, child_says, report, skipped, spread

AGENT = 'from podium import Agent, tool\nAgent("adder", "offline")'
WITH_TOOL = '''from podium import Agent, tool
@tool(effect="read")
async def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)
Agent("adder", "offline", [add])'''
FIRST_ANSWER = WITH_TOOL + '.run_sync("what is 1 plus 2?")'
BARE = "pass"


COUNTED = """
import sys
modules = len(sys.modules)
try:
    peak = int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(modules, peak)"""


def importing(settings: Settings) -> None:
    """CPU milliseconds of fresh interpreters over those of bare ones, compiled files and page cache being warm."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    bare_modules, bare_peak = map(int, child_says(BARE + COUNTED, environment).split())
    for metric, code in (("agent", AGENT), ("agent_and_tool", WITH_TOOL), ("first_answer", FIRST_ANSWER)):
        child_cpu(code, environment)
        over: list[float] = []
        base: list[float] = []
        for _ in range(settings.size(7 if settings.quick else 15, 1)):
            bare, ours = child_cpu(BARE, environment), child_cpu(code, environment)
            base.append(bare * 1e3)
            over.append((ours - bare) * 1e3)
        modules, peak = map(int, child_says(code + COUNTED, environment).split())
        report(f"import.{metric}", over, "ms CPU over bare Python", bare=spread(base), code=code)
        report(f"import.{metric}.modules", [modules - bare_modules], "modules over bare Python")
        report(f"import.{metric}.memory", [(peak - bare_peak) / 1024], "MiB at the peak over bare Python")


def install(settings: Settings) -> None:
    """Distributions and size of a base install, in a fresh environment; pip itself is not counted."""
    with settings.temporary() as folder:
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", str(HERE.parent)], stderr=subprocess.PIPE, text=True
        )
        if done.returncode:
            skipped("install.distributions", (done.stderr.strip().splitlines() or ["pip failed"])[-1])
            return
        where = subprocess.check_output([str(python), "-c", "import site; print(site.getsitepackages()[0])"], text=True)
        site = Path(where.strip())
        names = sorted(path.name.split("-")[0] for path in site.glob("*.dist-info"))
        names = [name for name in names if name not in {"pip", "setuptools"}]
        compiled = sum(path.stat().st_size for path in site.rglob("*.pyc"))
        pip = sum(bytes_in(path) for path in site.glob("pip*") if path.is_dir())
        report("install.distributions", [float(len(names))], "distributions", names=names)
        report("install.size", [(bytes_in(site) - compiled - pip) / 2**20], "MiB without .pyc and pip")
