"""The GitHub workflows run what people run, with no more rights than they need and nothing that can move under them."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PATHS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def jobs(path):
    return yaml.safe_load(path.read_text())["jobs"].values()


def test_there_are_workflows():
    assert {path.name for path in PATHS} >= {"ci.yml", "e2e.yml"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_the_version_beside_it(path):
    used = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if "uses:" in line]
    assert len(used) > 2
    assert [line for line in used if not PINNED.fullmatch(line)] == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_jobs_have_an_end_and_may_only_read(path):
    assert yaml.safe_load(path.read_text())["permissions"] == {}
    for job in jobs(path):
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"]
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert [step["with"]["persist-credentials"] for step in checkouts] == [False]


def test_every_target_of_ci_is_one_of_the_makefile_and_of_the_local_run():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    (job,) = jobs(ROOT / ".github" / "workflows" / "ci.yml")
    wanted = {entry["target"] for entry in job["strategy"]["matrix"]["include"]} | {"install"}
    assert wanted <= targets
    declared = re.search(r"^targets=\((.*)\)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert declared is not None
    assert wanted <= set(declared[1].split())
