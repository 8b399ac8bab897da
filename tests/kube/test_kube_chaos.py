"""A few steps of chaos: a process of its own, since it plays a whole cluster. `make chaos` goes on for longer."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.apiserver.conftest import ROOT


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [3, 8])
def test_whatever_happens_callers_are_served_what_was_asked_for(programs, seed: int, tmp_path: Path) -> None:
    log = tmp_path / "chaos.log"
    command = [sys.executable, "-m", "tests.kube.chaos", f"--seed={seed}", "--steps=12", "--slices=2", f"--log={log}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = log.read_text() if log.exists() else ""
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{said}"
