"""Migrations: once, whoever comes first; all or nothing; never a file that changed."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

import shop_catalog.app
from slicekit.migrations import Migration, MigrationError, apply_migrations, load_migrations

FIRST = Migration(1, "0001_first.sql", "CREATE TABLE things (id int PRIMARY KEY); INSERT INTO things VALUES (1);")
SECOND = Migration(2, "0002_second.sql", "INSERT INTO things VALUES (2);")
BROKEN = Migration(2, "0002_broken.sql", "INSERT INTO things VALUES (3); SELECT nonsense;")


async def migrate(url: str, *migrations: Migration) -> list[str]:
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        return await apply_migrations(connection, "kit", list(migrations))


def things(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM kit.things ORDER BY 1")]


async def test_five_at_once_apply_each_file_once(database_url: str) -> None:
    applied = await asyncio.gather(*(migrate(database_url, FIRST, SECOND) for _ in range(5)))
    assert sorted(applied, key=len) == [[], [], [], [], ["0001_first.sql", "0002_second.sql"]]
    assert things(database_url) == [1, 2]


async def test_five_replicas_start_at_once(launch: Any, stores: dict[str, str]) -> None:
    await asyncio.gather(*(launch(shop_catalog.app.build, "catalog", stores) for _ in range(5)))
    with psycopg.connect(stores["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM catalog.products").fetchone() == (10,)


async def test_only_what_is_new_is_applied(database_url: str) -> None:
    assert await migrate(database_url, FIRST) == ["0001_first.sql"]
    assert await migrate(database_url, FIRST, SECOND) == ["0002_second.sql"]
    assert await migrate(database_url, FIRST) == []


async def test_a_file_that_fails_leaves_nothing_behind(database_url: str) -> None:
    await migrate(database_url, FIRST)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        await migrate(database_url, FIRST, BROKEN)
    assert things(database_url) == [1]
    assert await migrate(database_url, FIRST, SECOND) == ["0002_second.sql"]


async def test_an_edited_file_is_refused(database_url: str) -> None:
    await migrate(database_url, FIRST)
    edited = Migration(1, FIRST.name, FIRST.text + " ")
    with pytest.raises(MigrationError, match=r"schema kit: 0001_first\.sql has changed"):
        await migrate(database_url, edited)


@pytest.mark.parametrize(("package", "newest"), [("shop_catalog", 1), ("shop_payments", 2), ("shop_worker", 1)])
def test_every_service_ships_its_files(package: str, newest: int) -> None:
    versions = [migration.version for migration in load_migrations(f"{package}.migrations")]
    assert versions == list(range(1, newest + 1))


@pytest.fixture
def package_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def make(*names: str) -> str:
        folder = tmp_path / f"migrations_{abs(hash(names))}"
        folder.mkdir()
        for name in ("__init__.py", *names):
            (folder / name).touch()
        monkeypatch.syspath_prepend(tmp_path)
        return folder.name

    return make


@pytest.mark.parametrize("names", [("1_short.sql",), ("0001_Upper.sql",), ("0001_a.sql", "0001_b.sql")])
def test_a_name_that_cannot_be_right_is_refused(package_with: Callable[..., str], names: tuple[str, ...]) -> None:
    with pytest.raises(MigrationError, match=r"must be named 0001_what_it_does\.sql, with a number of its own"):
        load_migrations(package_with(*names))


def test_files_come_in_order_of_their_numbers(package_with: Callable[..., str]) -> None:
    package = package_with("0010_ten.sql", "0002_two.sql", "notes.txt")
    assert [migration.version for migration in load_migrations(package)] == [2, 10]
