"""`rslice validate`, `rslice revision` and `rslice crd` as they are called."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from resilientslice.api.crd import crd
from resilientslice.api.not_yet import NOT_YET
from resilientslice.api.reference import reference
from resilientslice.cli import cli
from resilientslice.files import load_slice
from resilientslice.render.revision import revision_of

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
SHOP = SAMPLES / "shop.yaml"
LACKS = {entry.path: entry.lacks for entry in NOT_YET}
BAD = SAMPLES / "invalid" / "cycle-of-two.yaml"


def rslice(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture
def edited(tmp_path: Path):
    """The shop with one text replaced by another."""

    def edit(old: str, new: str) -> Path:
        text = SHOP.read_text()
        assert old in text
        path = tmp_path / "edited.yaml"
        path.write_text(text.replace(old, new))
        return path

    return edit


def test_valid_files() -> None:
    done = rslice("validate", "-f", SHOP, "-f", SAMPLES / "minimal.yaml")
    assert (done.exit_code, done.stdout) == (0, "ok: shop (4 services)\nok: minimal (1 service)\n")


def test_a_field_without_effect_is_a_warning_with_its_line() -> None:
    done = rslice("validate", "-f", SHOP)
    line = next(number for number, text in enumerate(SHOP.read_text().splitlines(), 1) if text.startswith("  slo:"))
    assert done.stderr == f"warning: {SHOP}:{line}: spec.slo: has no effect yet: {LACKS['spec.slo']}\n"
    assert rslice("validate", "-f", SAMPLES / "minimal.yaml").stderr == ""


@pytest.mark.parametrize(
    ("front", "warned"),
    [
        ("{kind: Ingress, hosts: [a.example], tls: {secretName: a}}", True),
        ("{kind: Ingress, hosts: [a.example], tls: {secretName: a}, trustedProxies: [10.0.0.0/8]}", False),
        ("{kind: Ingress, hosts: [a.example]}", False),
        ("{type: LoadBalancer}", False),
    ],
)
def test_an_ingress_with_tls_that_nobody_trusts_is_a_warning(tmp_path, front, warned) -> None:
    path = tmp_path / "slice.yaml"
    path.write_text(f"{(SAMPLES / 'minimal.yaml').read_text().rstrip()}\n  front: {front}\n")
    done = rslice("validate", "-f", path)
    assert done.exit_code == 0, done.stderr
    assert ("spec.front.trustedProxies: is not set" in done.stderr) == warned


def test_invalid_files_go_to_standard_error_and_the_others_are_checked_too() -> None:
    done = rslice("validate", "-f", BAD, "-f", SHOP)
    assert (done.exit_code, done.stdout) == (2, "ok: shop (4 services)\n")
    first, last, _ = done.stderr.splitlines()
    assert first.startswith(f"{BAD}:15: spec.services[1].dependsOn[0] (service pay): ")
    assert last == f"error: {BAD}: 1 problem"


def test_problems_are_counted(edited) -> None:
    path = edited("port: 8080", "port: 0")
    assert rslice("validate", "-f", path).stderr.splitlines()[-1] == f"error: {path}: 3 problems"


def test_standard_input() -> None:
    assert rslice("validate", "-f", "-", stdin=SHOP.read_text()).stdout == "ok: shop (4 services)\n"
    assert rslice("validate", "-f", "-", stdin="").stderr.startswith("standard input: is empty")


def test_json() -> None:
    done = rslice("validate", "-f", SHOP, "-f", BAD, "--output", "json")
    good, bad = json.loads(done.stdout)
    assert (done.exit_code, done.stderr) == (2, "")
    assert {key: good[key] for key in good if key != "warnings"} == {
        "file": str(SHOP),
        "valid": True,
        "slice": "shop",
        "problems": [],
    }
    assert [warning["path"] for warning in good["warnings"]] == ["spec.slo"]
    assert (bad["valid"], bad["slice"]) == (False, None)
    assert [problem.keys() for problem in bad["problems"]] == [{"path", "line", "value", "rule", "fix"}]
    assert bad["problems"][0]["line"] == 15


def test_changes(edited) -> None:
    path = edited("storage: 1Gi", "storage: 9Mi")
    assert rslice("validate", "-f", path).exit_code == 0
    done = rslice("validate", "-f", path, "--old", SHOP)
    assert done.exit_code == 2
    assert done.stderr.count("storage can only grow") == 2
    assert rslice("validate", "-f", SHOP, "--old", path).exit_code == 0


@pytest.mark.parametrize("command", ["validate", "revision"])
def test_an_old_file_that_is_wrong(command: str) -> None:
    done = rslice(command, "-f", SHOP, "--old", BAD)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"{BAD}:")


@pytest.mark.parametrize("command", ["validate", "revision"])
def test_usage(command: str) -> None:
    assert rslice(command).exit_code == 2
    twice = rslice(command, "-f", "-", "--old", "-", stdin="")
    assert (twice.exit_code, "can be read once" in twice.stderr) == (2, True)
    assert "Examples:" in rslice(command, "--help").stdout


def test_old_goes_with_one_file() -> None:
    done = rslice("validate", "-f", SHOP, "-f", SHOP, "--old", SHOP)
    assert (done.exit_code, "--old goes with one --file" in done.stderr) == (2, True)


def test_the_name_of_a_revision() -> None:
    done = rslice("revision", "-f", SHOP)
    assert (done.exit_code, done.stdout) == (0, f"{revision_of(load_slice(SHOP)).name}\n")


def test_what_a_revision_changes(edited) -> None:
    path = edited("shop/payments:1.0.0", "shop/payments:1.1.0")
    name, *lines = rslice("revision", "-f", path, "--old", SHOP).stdout.splitlines()
    assert name == revision_of(load_slice(path)).name
    assert lines == ["changed: payments", "canaries: payments"]


def test_a_service_that_comes_and_one_that_goes(edited) -> None:
    path = edited("name: worker", "name: clerk")
    facts = json.loads(rslice("revision", "-f", path, "--old", SHOP, "-o", "json").stdout)
    assert facts["old"] == revision_of(load_slice(SHOP)).name
    assert [facts[key] for key in ("changed", "added", "removed", "canaries")] == [[], ["clerk"], ["worker"], []]


def test_what_is_no_revision(edited) -> None:
    path = edited("weight: 0", "weight: 30")
    name = revision_of(load_slice(SHOP)).name
    assert rslice("revision", "-f", path, "--old", SHOP).stdout == f"{name}\nunchanged: no pod restarts\n"
    assert json.loads(rslice("revision", "-f", path, "-o", "json").stdout) == {"revision": name}


def test_a_bad_file_has_no_revision() -> None:
    done = rslice("revision", "-f", BAD)
    assert (done.exit_code, done.stdout) == (2, "")


def test_the_crd_and_its_reference() -> None:
    assert yaml.safe_load(rslice("crd").stdout) == crd()
    assert rslice("crd").stdout.startswith("# Generated")
    assert rslice("crd", "--format", "markdown").stdout == reference()
