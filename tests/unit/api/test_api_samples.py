"""The samples: the good ones are valid and keep their meaning, each bad one breaks just the rule of its name."""

import json
import re
from pathlib import Path

import pytest
import yaml

from resilientslice.api.crd_rules import LIST_RULES, OBJECT_RULES
from resilientslice.api.slice import ResilientSlice
from resilientslice.files import SliceFileError, load_slice

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
VALID = sorted(SAMPLES.glob("*.yaml"))
INVALID = sorted((SAMPLES / "invalid").glob("*.yaml"))


def header(path: Path) -> tuple[str, str]:
    """What a bad sample says of itself: the text that it must be refused with, and who refuses it."""
    first, second, *_ = path.read_text().splitlines()
    expected = re.fullmatch(r"# expect: (.+)", first)
    layer = re.fullmatch(r"# caught-by: (crd|operator)", second)
    assert expected, f"{path.name} must begin with `# expect: TEXT`"
    assert layer, f"{path.name} must say in its second line who catches it"
    return expected[1], layer[1]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_sample_is_valid_and_survives_a_round_trip(path: Path) -> None:
    loaded = load_slice(path)
    written = loaded.model_dump_json(by_alias=True, exclude_none=True)
    assert ResilientSlice.model_validate_json(written, by_alias=True, by_name=False) == loaded
    # PyYAML's own loader is a second opinion on what the file says
    assert ResilientSlice.model_validate_json(json.dumps(yaml.safe_load(path.read_text()))) == loaded


def test_the_samples_are_there() -> None:
    assert {path.stem for path in VALID} >= {"minimal", "shop", "shop-canary", "external-stores"}
    assert len(INVALID) > 90


def test_the_smallest_sample_has_ten_lines() -> None:
    assert len((SAMPLES / "minimal.yaml").read_text().splitlines()) == 10
    assert len(load_slice(SAMPLES / "minimal.yaml").spec.services) == 1


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_a_bad_sample_has_the_one_problem_that_it_is_named_for(path: Path) -> None:
    expected, _ = header(path)
    with pytest.raises(SliceFileError) as caught:
        load_slice(path)
    assert len(caught.value.problems) == 1, str(caught.value)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")


def test_each_rule_of_the_api_server_has_a_bad_sample() -> None:
    """But the ones about changes, which need two documents."""
    texts = "\n".join(path.read_text() for path in INVALID)
    rules = [rule for listed in (*OBJECT_RULES.values(), *LIST_RULES.values()) for rule in listed]
    untried = {
        rule.message
        for rule in rules
        if "oldSelf" not in rule.rule
        and not any(header(path)[0] in rule.message for path in INVALID if header(path)[1] == "crd")
    }
    assert texts
    assert untried == set()
