"""`python -m resilientslice.agent`: runs beside an Envoy and feeds it. Needs no Kubernetes API.

What happens before the imports keeps the process small (58 MB in place of 71; there is one beside every Envoy):
docstrings are left out, structlog draws tracebacks with rich when it can find it, and aiohttp loads every certificate
authority, though nothing here speaks TLS.
"""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

if __name__ == "__main__" and sys.flags.optimize < 2:
    # the same process, so its parent may keep watching its id
    os.execv(sys.executable, [sys.executable, "-OO", "-m", "resilientslice.agent", *sys.argv[1:]])  # noqa: S606

sys.modules["rich"] = None  # type: ignore[assignment]
os.environ["SSL_CERT_FILE"] = os.devnull

import structlog  # noqa: E402
import uvloop  # noqa: E402

from resilientslice.agent.program import serve  # noqa: E402
from resilientslice.agent.settings import DRAIN_SECONDS, LEAST_DRAIN_SECONDS, AgentSettings, DrainTimes, Remote  # noqa: E402
from resilientslice.agent.sockets import SocketTakenError  # noqa: E402


def parse_arguments(arguments: list[str] | None = None) -> AgentSettings:
    parser = argparse.ArgumentParser(prog="python -m resilientslice.agent", description="Feeds one Envoy.")
    parser.add_argument("--ads-socket", type=Path, required=True, help="unix socket to serve Envoy's ADS on")
    parser.add_argument("--api-socket", type=Path, required=True, help="unix socket to take configurations on")
    parser.add_argument("--admin-socket", type=Path, required=True, help="unix socket of Envoy's admin interface")
    parser.add_argument("--state-dir", type=Path, required=True, help="folder for the last accepted configuration")
    parser.add_argument("--fallback", type=Path, help="mounted copy, taken when it is newer than the state folder's")
    parser.add_argument("--ready-file", type=Path, help="a file that exists while the agent is ready")
    parser.add_argument("--listen", metavar="ADDRESS:PORT", help="take signed requests there too; needs --key-dir")
    parser.add_argument("--key-dir", type=Path, help="folder with the slice's key: the files current and previous")
    parser.add_argument("--drain", action="store_true", help="at SIGTERM, drain Envoy before the agent ends")
    parser.add_argument("--drain-seconds", type=float, default=DRAIN_SECONDS, help="when draining ends at the latest")
    parser.add_argument("--drain-least-seconds", type=float, default=LEAST_DRAIN_SECONDS, help="and at the earliest")
    values = parser.parse_args(arguments)
    return AgentSettings(
        ads_socket=values.ads_socket,
        api_socket=values.api_socket,
        admin_socket=values.admin_socket,
        state_dir=values.state_dir,
        fallback=values.fallback,
        ready_file=values.ready_file,
        remote=_remote(parser, values) if values.listen else None,
        drain=DrainTimes(values.drain_seconds, values.drain_least_seconds) if values.drain else None,
    )


def _remote(parser: argparse.ArgumentParser, values: argparse.Namespace) -> Remote:
    host, _, port = values.listen.rpartition(":")
    uid = os.environ.get("POD_UID", "")
    if not host or not port.isdecimal() or not 0 <= int(port) < 65_536:
        parser.error(f"--listen: must be ADDRESS:PORT, got {values.listen!r}")
    if values.key_dir is None:
        parser.error("--listen: needs --key-dir, the folder with the slice's key")
    if not uid:
        parser.error("--listen: needs the pod's UID in the variable POD_UID, which requests are signed for")
    return Remote(host, int(port), values.key_dir, uid)


def configure_logs() -> None:
    """JSON lines on standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def main() -> int:
    settings = parse_arguments()
    configure_logs()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except (SocketTakenError, OSError) as error:
        structlog.get_logger("resilientslice.agent").critical("the agent can't run", reason=str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
