"""YAML as kubectl reads it; lines; and what a hostile document can't do."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from resilientslice.yaml_tree import MAX_DEPTH, YamlError, read_documents


def read(text: str):
    (document,) = read_documents(text)
    return document.data


SCALARS = {
    # as `kubectl create --dry-run=client -o json` of 1.37 has them
    "y": True, "yes": True, "on": True, "True": True, "TRUE": True, "n": False, "No": False, "Off": False,
    "010": 8, "-010": -8, "0o10": 8, "0777": 511, "08": 8, "0": 0, "-0": 0, "+5": 5, "1_000": 1000, "1__0": 10,
    "0x1F": 31, "-0x1F": -31, "0b11": 3, "1e3": 1000, "1e+3": 1000, "1.": 1, "-.5e1": -5, ".5": 0.5, "1_0.5": 10.5,
    "~": None, "Null": None, "": None,
    "2026-01-01": "2026-01-01", "2026-01-01T00:00:00Z": "2026-01-01T00:00:00Z", "8:30": "8:30", "=": "=",
    "0.1.2": "0.1.2", "_1": "_1", "1e400": "1e400", "10s": "10s", "yEs": "yEs", "nULL": "nULL",
    '"yes"': "yes", "'1'": "1", "!!str 1": "1", "! 1": "1", '!!int "7"': 7, '!!bool "yes"': True, '!!null ""': None,
    "é": "é",
    # a number that nobody can mean stays text, so that the type is what is wrong with it
    "9" * 101: "9" * 101, ".inf": ".inf", ".NaN": ".NaN",
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS.items())
def test_scalars(text: str, value: object) -> None:
    found = read(f"k: {text}")["k"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("key", "name"), [("on", "true"), ("n", "false"), ("1", "1"), ("'on'", "on"), ("~", "~")])
def test_keys_are_strings(key: str, name: str) -> None:
    assert read(f"{key}: x") == {name: "x"}


def test_block_scalars_are_text() -> None:
    assert read("a: |\n  yes\nb: >\n  1\n") == {"a": "yes\n", "b": "1\n"}


def test_large_floats_stay_floats_as_in_json() -> None:
    assert read("a: 1e20\nb: 1e21\nc: 1.5") == {"a": 10**20, "b": 1e21, "c": 1.5}


# libyaml does not know JSON's escapes of pairs of surrogates
TEXT = st.text(st.characters(max_codepoint=0xD7FF, exclude_categories=("C", "Z")), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, JSON, min_size=1, max_size=4))
def test_json_is_yaml(value) -> None:
    assert read(json.dumps(value)) == value
    assert read(json.dumps(value, ensure_ascii=False, indent=2)) == value


@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}[A-Z]", fullmatch=True), JSON, min_size=1, max_size=4))
def test_what_pyyaml_writes_is_read_back(value) -> None:
    quoted = yaml.safe_dump(value, default_style='"', allow_unicode=True)
    assert read(quoted) == value


def test_aliases_and_merges() -> None:
    text = "a: &a {p: 1, q: 2}\nb: {<<: *a, q: 3}\nc: {<<: [{p: 7, r: 8}, *a]}\nd: *a\ne: {'<<': 1}\n"
    assert read(text) == {
        "a": {"p": 1, "q": 2},
        "b": {"p": 1, "q": 3},
        "c": {"p": 7, "r": 8, "q": 2},
        "d": {"p": 1, "q": 2},
        "e": {"<<": 1},
    }


def test_documents_that_are_empty_do_not_count() -> None:
    documents = read_documents("---\n---\na: 1\n---\n# nothing\n---\n[]\n--- {}\n--- ~\n...\n")
    assert [document.data for document in documents] == [{"a": 1}, [], {}]


def test_anchors_are_those_of_their_document() -> None:
    with pytest.raises(YamlError, match=r"alias \*a has no anchor"):
        read_documents("x: &a 1\n---\ny: *a\n")


def test_lines() -> None:
    (document,) = read_documents("a:\n  b:\n  - x\n  - c: 1\n    d: 2\ne: &e\n  f: 1\ng: *e\n")
    lines = {
        (): 1, ("a",): 1, ("a", "b"): 2, ("a", "b", 0): 3, ("a", "b", 1): 4, ("a", "b", 1, "d"): 5, ("e", "f"): 7,
        # what is missing has the line of what it would be in, or of its list
        ("a", "b", 1, "zzz"): 4, ("a", "b", 9): 2, ("zzz",): 1, ("e", "f", "zzz"): 7, ("g", "f"): 7, ("a", "b", "x"): 2,
    }  # fmt: skip
    assert {path: document.line(path) for path in lines} == lines


def bomb(levels: int, width: int = 10) -> str:
    lines = ["a0: &a0 x"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels + 1)]
    return "\n".join(lines)


BAD = {
    "an alias bomb": (bomb(9), "aliases expand to more than 100000 values", 6),
    "a bomb of merges": (
        "a: &a {x: 1}\n"
        + "".join(
            f"b{i}: &b{i} {{l: [{','.join(['*' + ('a' if i == 0 else f'b{i - 1}')] * 20)}]}}\n" for i in range(9)
        ),
        "aliases expand to more than 100000 values",
        5,
    ),
    "an alias of itself": ("a: &a [*a]", "alias *a is inside what it stands for", 1),
    "an alias of nothing": ("a: 1\nb: *c", "alias *c has no anchor", 2),
    "deep flow": ("[" * 5000, "is nested deeper than 64 levels", 1),
    "deep blocks": ("\n".join(" " * i + "a:" for i in range(70)), "is nested deeper than 64 levels", 66),
    "deep by aliases": (
        "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40,
        "is nested deeper than 64 levels",
        2,
    ),
    "a key twice": ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", 'key "c" is given twice, first in line 3', 5),
    "a key twice in two spellings": ("on: 1\ntrue: 2\n", 'key "true" is given twice, first in line 1', 2),
    "a list as a key": ("? [a]\n: b", "a key must be a plain value", 1),
    "an alias as a key": ("a: &a x\n*a : b", "a key must be a plain value", 2),
    "a tag": ("a: !!python/object:os.system x", "tag !!python/object:os.system is not known here", 1),
    "a tag of one's own": ("a: 1\nb: !secret x", "tag !secret is not known here", 2),
    "a date by tag": ("a: !!timestamp 2026-01-01", "tag !!timestamp is not known here", 1),
    "a merge of a scalar": ("a: {<<: 1}", "<< needs a mapping, or a list of mappings", 1),
    "a merge of scalars": ("a: {<<: [1]}", "<< needs a mapping, or a list of mappings", 1),
    "no YAML": ("a: [b\nc: d", "is not YAML: did not find expected ',' or ']' (column 2)", 2),
    "a tab": ("a:\n\tb: 1", "is not YAML: found character that cannot start any token (column 1)", 2),
    "an open quote": ('a: "b', "is not YAML: found unexpected end of stream", 1),
    "a control character": ("a: \x01", "is not YAML: unacceptable character #x0001", 0),
}


@pytest.mark.parametrize(("text", "rule", "line"), BAD.values(), ids=BAD.keys())
def test_refused(text: str, rule: str, line: int) -> None:
    with pytest.raises(YamlError) as caught:
        read_documents(text)
    found, _, where = caught.value.findings[0]
    assert found.startswith(rule)
    assert where == line


def test_all_keys_that_are_twice_are_named_at_once() -> None:
    with pytest.raises(YamlError) as caught:
        read_documents("a: 1\na: 2\na: 3\nb: {c: 1, c: 2}\n")
    assert [line for _, _, line in caught.value.findings] == [2, 3, 4]


@pytest.mark.parametrize(("levels", "fine"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_the_bound_of_depth(levels: int, fine: bool) -> None:
    text = "[" * levels + "]" * levels
    if fine:
        assert read(text)
    else:
        with pytest.raises(YamlError):
            read_documents(text)


def test_as_many_values_as_the_bound_allows() -> None:
    assert len(json.dumps(read(bomb(4)))) > 10_000
    # without aliases the size of the file is the bound
    assert len(read("[" + "1," * 150_000 + "]")) == 150_000


def test_keys_of_a_large_mapping_are_found_by_their_line() -> None:
    (document,) = read_documents("".join(f"k{i}: {i}\n" for i in range(1000)))
    assert document.line(("k999",)) == 1000
