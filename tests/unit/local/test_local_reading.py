"""What is read of log files, of folders' permissions and of rendered Services."""

from pathlib import Path

import pytest
import yaml

from resilientslice.api.slice import ResilientSlice
from resilientslice.files import load_slice
from resilientslice.local.errors import LocalError
from resilientslice.local.processes.folder import StateFolder
from resilientslice.local.processes.logs import bound, tail
from resilientslice.local.processes.place import PortBook, dns
from resilientslice.local.processes.ports import LOOPBACK, Ports
from resilientslice.local.processes.process import User
from resilientslice.local.settings import RunSettings
from resilientslice.local.source import read_source
from resilientslice.local.stores.postgres import reaches
from resilientslice.render.objects import render_objects
from resilientslice.render.revision import revision_of
from resilientslice.render.tracks import Address

SHOP = Path(__file__).parents[3] / "samples" / "shop.yaml"


def test_logs_are_bounded_while_their_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    with path.open("a") as writer:
        writer.write("a" * 100 + "\n")
        writer.flush()
        bound([path, tmp_path / "none"], limit=100)
        writer.write("b\n\nc\n")
    assert path.read_text() == "b\n\nc\n"
    assert (tmp_path / "x.log.1").read_text() == "a" * 100 + "\n"
    assert tail(path, 2) == ["b", "c"]
    assert tail(path, 1) == ["c"]
    assert tail(tmp_path / "none", 3) == []


@pytest.mark.parametrize(("mode", "expected"), [(0o755, True), (0o750, False), (0o711, True)])
def test_reach_of_another_user(tmp_path: Path, mode: int, expected: bool) -> None:
    root = Path("/").stat()
    stranger = User(uid=root.st_uid + 4321, gid=root.st_gid + 4321)
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (tmp_path / "a").chmod(mode)
    ancestors = reaches(tmp_path, stranger)
    assert reaches(folder, stranger) == (expected and ancestors)
    status = (tmp_path / "a").stat()
    assert reaches(folder, User(status.st_uid, status.st_gid)), "its owner may always"


def test_names_of_services_stand_for_listeners_and_stores(tmp_path: Path) -> None:
    slice_ = load_slice(SHOP)
    folder = StateFolder(tmp_path / "state")
    book = PortBook(folder, Ports(), front=0)
    internal = book.internal(["api", "payments", "catalog"])
    hosts = dns(slice_, render_objects(slice_, revision_of(slice_), None), book, internal, {"shop-postgres": 25432})
    assert hosts["shop-payments", 8080] == internal["payments"]
    assert hosts["shop-postgres", 5432] == Address(LOOPBACK, 25432)
    assert hosts["shop-front", 80] == hosts["shop-front", 8080] == book.front
    assert not [name for name, _ in hosts if name.endswith(("-stable", "-canary", "shop-redis"))]
    again = PortBook(folder, Ports(), front=0)
    assert (again.front, again.internal(["payments"])["payments"]) == (book.front, internal["payments"])
    folder.close()


def edited(tmp_path: Path, changes: dict[str, object]) -> RunSettings:
    document = yaml.safe_load(SHOP.read_text())
    document["spec"] |= changes
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(document))
    file.with_suffix(".procfile").write_text(SHOP.with_suffix(".procfile").read_text() + "paymnts: x\n")
    return RunSettings(file=file)


def test_external_stores_need_a_url_and_say_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    stores = {"postgres": {"external": {"secretName": "db"}}, "redis": {"managed": {}}}
    settings = edited(tmp_path, {"stores": stores})
    with pytest.raises(LocalError, match=r"service payments: no value for DATABASE_URL \(key `url` of `db`\)"):
        read_source(settings)
    settings.env_file_path.write_text("db/url=postgresql://somewhere/x\n")
    source = read_source(settings)
    assert source.values.find("db", "url", "DATABASE_URL") == "postgresql://somewhere/x"
    assert isinstance(source.slice_, ResilientSlice)
    assert f"{settings.procfile_path}: no service is named paymnts" in source.hints
