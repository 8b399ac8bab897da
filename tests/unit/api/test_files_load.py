"""Files that are no resource: one clear message each, with the line where there is one."""

import io
import sys
from pathlib import Path

import pytest

from resilientslice.files import MAX_BYTES, SliceFileError, load_slice, problem_json

SHOP = (Path(__file__).resolve().parents[3] / "samples" / "shop.yaml").read_text()


def refused(path: Path | str) -> str:
    with pytest.raises(SliceFileError) as caught:
        load_slice(path)
    assert caught.value.problems
    return str(caught.value)


CONTENTS = {
    "empty": (b"", "F: is empty; put a ResilientSlice into it"),
    "only comments": (b"# nothing\n---\n", "F: is empty; put a ResilientSlice into it"),
    "two documents": (
        (SHOP + "---\n" + SHOP + "---\na: 1").encode(),
        f"F:{SHOP.count(chr(10)) + 3}: holds 2 slices, not one; one file a slice: split it at the ---",
    ),
    "two documents of other kinds": (
        b"kind: ConfigMap\n---\nkind: Secret\n",
        "F:3: holds 2 documents, and no slice; one file a slice: split it at the ---",
    ),
    "a template": (
        b"kind: x\nspec:\n  a: {{ .Values.a }}\n",
        "F:3: is a template; render it first, such as by `helm template`",
    ),
    "not UTF-8": (b"a: b\nc: \xff\n", "F:2: is not UTF-8: byte 0xff; save it as UTF-8"),
    "UTF-16": ("a: b".encode("utf-16"), "F:1: is not UTF-8: byte 0xff; save it as UTF-8"),
    "2 MB": (b"#" * 2_000_000, "F: is larger than 1024 KiB; a resource has some kilobytes: is this the right file?"),
    "just too large": (
        b"#" * (MAX_BYTES + 1),
        "F: is larger than 1024 KiB; a resource has some kilobytes: is this the right file?",
    ),
    "just not too large": (b"#" * MAX_BYTES, "F: is empty; put a ResilientSlice into it"),
    "a list": (b"- a\n", "F:1: must be a mapping, not a list; begin with apiVersion: resilientslice.dev/v1alpha1"),
    "no YAML": (b"a: b: c", "F:1: is not YAML: mapping values are not allowed in this context (column 5); "
                "check indentation, colons and quotes"),
    "another kind": (
        b"apiVersion: resilientslice.dev/v1alpha1\nkind: Slice\n", 'F:2: kind: "Slice": must be ResilientSlice'),
    "a binary": (b"\x7fELF\x01\x01", "F: is not YAML: unacceptable character #x007f: control characters are not"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), CONTENTS.values(), ids=CONTENTS.keys())
def test_contents(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    assert refused(path).startswith(expected.replace("F", str(path), 1))


def test_other_kinds_in_the_same_file_are_passed_by(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"kind: ConfigMap\n---\n{SHOP}---\nkind: Secret\n")
    assert load_slice(path).name == "shop"


def test_a_byte_order_mark_is_passed_by(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SHOP.encode())
    assert load_slice(path).name == "shop"


def test_json_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(load_slice(_written(tmp_path, SHOP)).model_dump_json(by_alias=True, exclude_none=True))
    assert load_slice(path).name == "shop"


def _written(folder: Path, text: str) -> Path:
    path = folder / "slice.yaml"
    path.write_text(text)
    return path


def test_a_missing_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "x") == f"{tmp_path / 'x'}: no such file; check its path"


def test_a_folder(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: is a directory, not a file; name a file in it"


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal comes from a stand-in."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert refused("a.yaml") == "a.yaml: can't be read: Permission denied; check its permissions"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SHOP.encode())))
    assert load_slice("-").name == "shop"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert refused("-") == "standard input: is empty; put a ResilientSlice into it"


def test_problems_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        SHOP.replace("port: 8080", "prot: 8080", 1)
        .replace("timeout: 800ms", "timeout: 1ms")
        .replace("dependsOn: [payments, catalog]", "dependsOn: [payments, 5]")
    )
    path = _written(tmp_path, text)
    with pytest.raises(SliceFileError) as caught:
        load_slice(path)
    lines = [located.line for located in caught.value.located]
    assert lines == sorted(lines)
    for located in caught.value.located:
        last = located.problem.path[-1]
        assert isinstance(last, int) or str(last) in text.splitlines()[located.line - 1]
    assert str(caught.value).splitlines()[0] == (
        f"{path}:10: spec.services[0].prot (service api): unknown field; did you mean port?"
    )


def test_a_change_that_cannot_be_made_has_its_line(tmp_path: Path) -> None:
    old = load_slice(_written(tmp_path, SHOP))
    new = _written(tmp_path, SHOP.replace("postgres: {managed: {storage: 1Gi}}", "postgres: {managed: {storage: 9Mi}}"))
    assert load_slice(new).name == "shop"
    with pytest.raises(SliceFileError) as caught:
        load_slice(new, old=old)
    (located,) = caught.value.located
    assert "storage: 9Mi" in new.read_text().splitlines()[located.line - 1]
    assert problem_json(located) == {
        "path": "spec.stores.postgres.managed.storage",
        "line": located.line,
        "value": '"9Mi"',
        "rule": "storage can only grow",
        "fix": "it is 1Gi: volumes never shrink",
    }
