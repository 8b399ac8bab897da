"""Every field of the spec acts: objects, Envoy's resources or a plan change with it; or it is listed in NOT_YET.

Nothing here knows a field by name. A field that is added to a model of the API is tried with values that its own type
allows, in slices where it has something to act on (slices.yaml).
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.fields import footprint
from tests.unit.fields.leaves import Leaf, changed, leaves, spots, values_for
from tests.unit.fields.texts import TEXTS

from resilientslice.api.not_yet import NOT_YET
from resilientslice.api.problems import InvalidSliceError
from resilientslice.api.slice import Spec

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SLICES: list[Any] = yaml.safe_load((HERE / "slices.yaml").read_text())
LEAVES = {leaf.name: leaf for leaf in leaves(Spec)}
ELSEWHERE = {
    # volumes and credentials aren't rendered: what becomes of them is written to what is there
    "deletionPolicy": (
        "tests/kube/test_kube_credentials.py::test_credentials_and_volume_follow_the_policy_there_and_back"
    ),
    # acts by making a revision, whose name is all that changes
    "restartedAt": "tests/unit/render/test_render_revision.py::test_what_of_a_slice_makes_a_revision",
    # Kubernetes takes nothing but 1
    "services[].probes.liveness.successThreshold": (
        "tests/unit/api/test_api_services.py::test_refused_with_path_value_rule_and_fix"
    ),
    "services[].probes.startup.successThreshold": (
        "tests/unit/api/test_api_services.py::test_refused_with_path_value_rule_and_fix"
    ),
}
"""Fields that act on nothing that the operator renders or plans, and the test that sees them act."""
LOOKS = ((footprint.of_first_pass, 6, SLICES), (footprint.of_a_canary, 2, SLICES[:2]))
"""What may change, how many values of a leaf are tried on it in a slice, and in which slices; the cheaper one first."""


def idle(leaf: Leaf) -> str:
    """Empty if the leaf acts; else what was tried."""
    tried: list[str] = []
    for look, most, slices in LOOKS:
        for number, spec in enumerate(slices):
            for made, said in edits(leaf, spec, most):
                if look(made) != before(look, number):
                    return ""
                tried.append(said)
    return ", ".join(dict.fromkeys(tried)) or "nothing: no value of tests/unit/fields/texts.py is valid there"


@functools.cache
def before(look: Callable[[Any], str], number: int) -> str:
    return look(SLICES[number])


@functools.cache
def texts(number: int) -> tuple[str, ...]:
    return (footprint.canary_of(SLICES[number]), *TEXTS)


def edits(leaf: Leaf, spec: Any, most: int) -> Iterator[tuple[Any, str]]:
    """Valid specs that differ in one value of that leaf, and what that value is: at most so many for each spot."""
    for spot in spots(leaf, spec):
        valid = 0
        for value in values_for(leaf, texts(SLICES.index(spec))):
            made = changed(spec, spot, value)
            if made == spec or not is_valid(made):
                continue
            yield made, repr(value)
            valid += 1
            if valid == most:
                break


def is_valid(spec: Any) -> bool:
    try:
        footprint.parsed(spec)
    except InvalidSliceError:
        return False
    return True


def not_yet(name: str) -> bool:
    return any(f"spec.{name}.".startswith(f"{entry.path}.") for entry in NOT_YET)


@pytest.mark.parametrize("name", LEAVES)
def test_every_field_acts_or_is_named_as_one_that_does_not(name):
    if name in ELSEWHERE:
        return
    tried = idle(LEAVES[name])
    if not_yet(name):
        assert tried, f"spec.{name} acts: take it off NOT_YET in operator/resilientslice/api/not_yet.py"
        return
    assert not tried, (
        f"spec.{name} changes nothing, neither objects nor Envoy's resources nor a plan. Tried: {tried}. Use the field "
        "where it belongs in operator/resilientslice/render or planning; or list it in operator/resilientslice/api/"
        "not_yet.py, so that slices say so; or, if it needs company to act, add that to tests/unit/fields/slices.yaml."
    )


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_field_that_acts_elsewhere_has_a_test_that_sees_it(name):
    file, _, test = ELSEWHERE[name].partition("::")
    assert f"def {test}(" in (ROOT / file).read_text(), f"spec.{name}: {ELSEWHERE[name]} is gone: name its successor"
    assert name in LEAVES


@pytest.mark.parametrize("entry", NOT_YET, ids=lambda entry: entry.path)
def test_what_is_named_as_not_acting_is_a_field(entry):
    assert not_yet(entry.path.removeprefix("spec."))
    assert any(f"spec.{name}.".startswith(f"{entry.path}.") for name in LEAVES), f"{entry.path} is no field of the spec"
