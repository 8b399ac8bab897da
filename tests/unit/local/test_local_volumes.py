"""Volumes as folders: which paths stand for which, what is written, and that no reader sees half of it."""

import threading
from pathlib import Path
from typing import Any

import pytest

from resilientslice.local.processes.environment import Values
from resilientslice.local.workloads.volumes import (
    Kind,
    Mount,
    contents_of,
    machine_paths,
    make_folders,
    missing_content,
    read_mounts,
    remove_contents,
    replace_paths,
    write_contents,
)

CONFIG = (Kind.CONFIG_MAP, "shop-limits")


def template(*entries: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    volumes = [{"name": f"v{n}", **volume} for n, (volume, _) in enumerate(entries)]
    mounts = [{"name": f"v{n}", **mount} for n, (_, mount) in enumerate(entries)]
    return {"spec": {"volumes": volumes, "containers": [{"volumeMounts": mounts}]}}


def test_the_mounts_of_a_pod() -> None:
    read = read_mounts(
        template(
            ({"emptyDir": {"sizeLimit": "64Mi"}}, {"mountPath": "/tmp"}),
            ({"configMap": {"name": "shop-limits"}}, {"mountPath": "/etc/limits", "readOnly": True}),
            ({"secret": {"secretName": "keys", "optional": True}}, {"mountPath": "/etc/k/", "subPath": "token"}),
            ({"persistentVolumeClaim": {"claimName": "photos"}}, {"mountPath": "/data"}),
            ({"emptyDir": {}}, {"mountPath": "/var/cache"}),
        )
    )
    assert read == (
        Mount("/etc/limits", Kind.CONFIG_MAP, "shop-limits"),
        Mount("/etc/k", Kind.SECRET, "keys", "token", optional=True),
        Mount("/data", Kind.CLAIM, "photos"),
        Mount("/var/cache", Kind.EMPTY, "v4"),
    )
    assert machine_paths(read, Path("/s"), Path("/own")) == {
        "/etc/limits": "/s/configMap/shop-limits",
        "/etc/k": "/s/secret/keys/token",
        "/data": "/s/persistentVolumeClaim/photos",
        "/var/cache": "/own/v4",
    }
    assert read_mounts({"spec": {"containers": [{}]}}) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/etc/a", "/here/a"),
        ("/etc/a/x.json", "/here/a/x.json"),
        ("/etc/a/b/x", "/here/b/x"),
        ("--file=/etc/a/x --other=/etc/a", "--file=/here/a/x --other=/here/a"),
        ("file:///etc/a/x", "file:///here/a/x"),
        ("/bin:/etc/a:/usr", "/bin:/here/a:/usr"),
        ("/etc/ab /etc/a-b /etc/a.d", "/etc/ab /etc/a-b /etc/a.d"),
        ("/srv/etc/a ../etc/a x/etc/a", "/srv/etc/a ../etc/a x/etc/a"),
        ("nothing", "nothing"),
    ],
)
def test_paths_of_the_container_become_paths_of_this_machine(text: str, expected: str) -> None:
    assert replace_paths(text, {"/etc/a": "/here/a", "/etc/a/b": "/here/b"}) == expected
    assert replace_paths(text, {}) == text


def test_objects_are_the_rendered_ones_then_those_of_the_env_file() -> None:
    mounts = [Mount("/a", *CONFIG), Mount("/b", Kind.CONFIG_MAP, "own"), Mount("/c", Kind.SECRET, "keys")]
    objects = [{"kind": "ConfigMap", "metadata": {"name": "shop-limits"}, "data": {"api.json": "{}"}}]
    values = Values(env_file={"own/a.txt": "x", "shop-limits/z": "no"}, stored={("keys", "token"): "s3cret"})
    contents = contents_of(mounts, objects, values)
    assert contents == {
        CONFIG: {"api.json": "{}"},
        (Kind.CONFIG_MAP, "own"): {"a.txt": "x"},
        (Kind.SECRET, "keys"): {"token": "s3cret"},
    }
    assert missing_content(mounts, contents) == []


def test_what_is_mounted_and_unknown_is_named_unless_it_is_optional() -> None:
    mounts = [
        Mount("/a", Kind.SECRET, "keys"),
        Mount("/b", Kind.SECRET, "others", optional=True),
        Mount("/c", Kind.CLAIM, "photos"),
        Mount("/d", Kind.EMPTY, "cache"),
    ]
    contents = contents_of(mounts, [], Values())
    expected = ["any key of `keys`, mounted at /a: add a line `keys/KEY=value` for each"]
    assert missing_content(mounts, contents) == expected


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith("..")}


def versions_of(folder: Path) -> int:
    return len([path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()])


def test_a_folder_follows_its_object(tmp_path: Path) -> None:
    folder = tmp_path / "configMap" / "shop-limits"
    write_contents({CONFIG: {"a": "1", "b": "2"}}, tmp_path)
    assert files_of(folder) == {"a": "1", "b": "2"}
    assert folder.stat().st_mode & 0o077 == 0, "Secrets are written the same way"
    before = (folder / "a").stat()
    write_contents({CONFIG: {"a": "1", "b": "2"}}, tmp_path)
    assert (folder / "a").stat() == before, "nothing is written when nothing differs"
    write_contents({CONFIG: {"a": "3", "c": "4"}}, tmp_path)
    assert files_of(folder) == {"a": "3", "c": "4"}
    assert (folder / "a").stat().st_ino != before.st_ino, "a reader that looks at the file sees that it is another"
    write_contents({CONFIG: {"a": "5"}}, tmp_path)
    assert versions_of(folder) == 2, "the last and the one before"
    write_contents({CONFIG: {}}, tmp_path)
    assert files_of(folder) == {}
    remove_contents(tmp_path)
    assert not folder.exists()


def test_a_reader_that_an_edit_overtakes_sees_the_whole_of_one_version(tmp_path: Path) -> None:
    texts = ["x" * 100_000, "y" * 100_000]
    write_contents({CONFIG: {"a": texts[0]}}, tmp_path)
    file, seen, done, ended = tmp_path / "configMap" / "shop-limits" / "a", set(), threading.Event(), threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.add(file.read_text())
            except FileNotFoundError as error:
                seen.add(str(error))
            ended.set()

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(200):
        ended.clear()
        write_contents({CONFIG: {"a": texts[turn % 2]}}, tmp_path)
        assert ended.wait(30)
    done.set()
    reader.join()
    assert seen == set(texts)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_contents({CONFIG: {"a": "1"}}, tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_contents({CONFIG: {"a": "2"}}, tmp_path)
    folder = tmp_path / "configMap" / "shop-limits"
    assert files_of(folder) == {"a": "1"}
    assert versions_of(folder) == 1


def test_folders_that_processes_write_to_are_made_and_a_claim_outlives_the_contents(tmp_path: Path) -> None:
    shared, own = tmp_path / "shared", tmp_path / "own"
    mounts = [Mount("/a", Kind.CLAIM, "photos", "in"), Mount("/b", Kind.EMPTY, "cache"), Mount("/c", *CONFIG)]
    make_folders(mounts, shared, own)
    (shared / "persistentVolumeClaim" / "photos" / "in" / "one").write_text("kept")
    write_contents({CONFIG: {"a": "1"}}, shared)
    remove_contents(shared)
    assert (own / "cache").is_dir()
    assert [path.name for path in shared.iterdir()] == ["persistentVolumeClaim"]
    make_folders(mounts, shared, own)
    assert (shared / "persistentVolumeClaim" / "photos" / "in" / "one").read_text() == "kept"
