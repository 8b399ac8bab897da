"""Numbered .sql files, each applied once, by whichever replica comes first.

Everything happens in one transaction under an advisory lock, so five replicas that start together apply each file once,
and a file that fails leaves nothing behind. Stable and canary share the database: a migration must suit both.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

from psycopg import AsyncConnection, sql

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql", re.ASCII)


class MigrationError(Exception):
    """The migrations of a service and those its database has seen do not fit together."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def load_migrations(package: str) -> list[Migration]:
    """The .sql files of a package, in order. MigrationError for a name or a number that can't be right."""
    found = [entry for entry in files(package).iterdir() if entry.name.endswith(".sql")]
    migrations: dict[int, Migration] = {}
    for entry in sorted(found, key=lambda each: each.name):
        match = _NAME.fullmatch(entry.name)
        if match is None or int(match[1]) in migrations:
            raise MigrationError(
                f"{package}: {entry.name} must be named 0001_what_it_does.sql, with a number of its own"
            )
        migrations[int(match[1])] = Migration(int(match[1]), entry.name, entry.read_text(encoding="utf-8"))
    return list(migrations.values())


async def apply_migrations(connection: AsyncConnection, schema: str, migrations: list[Migration]) -> list[str]:
    """Applies what `schema` has not seen yet, with `schema` first on the search path. Returns the names applied."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"slicekit:{schema}"])
        await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        await connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(schema)))
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY, name text NOT NULL,"
            " digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = await (await connection.execute("SELECT version, digest FROM schema_migrations")).fetchall()
        seen: dict[int, str] = dict(rows)
        applied = []
        for migration in migrations:
            if migration.version in seen:
                _compare(schema, migration, seen[migration.version])
                continue
            await connection.execute(migration.text.encode())
            await connection.execute(
                "INSERT INTO schema_migrations (version, name, digest) VALUES (%s, %s, %s)",
                [migration.version, migration.name, migration.digest],
            )
            applied.append(migration.name)
    return applied


def _compare(schema: str, migration: Migration, digest: str) -> None:
    if digest != migration.digest:
        raise MigrationError(
            f"schema {schema}: {migration.name} has changed since it was applied; add a new file in place of editing it"
        )
