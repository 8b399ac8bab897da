"""`python -m resilientslice.agent`: runs beside an Envoy and feeds it. Needs no Kubernetes API.

What happens before the imports keeps the process small (58 MB in place of 71; there is one beside every Envoy):
docstrings are left out, structlog draws tracebacks with rich when it can find it, and aiohttp loads every certificate
authority, though all sockets here are local.
"""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

if __name__ == "__main__" and sys.flags.optimize < 2:
    # the same process, so whoever started it may go on watching its id
    os.execv(sys.executable, [sys.executable, "-OO", "-m", "resilientslice.agent", *sys.argv[1:]])  # noqa: S606

sys.modules["rich"] = None  # type: ignore[assignment]
os.environ["SSL_CERT_FILE"] = os.devnull

import structlog  # noqa: E402
import uvloop  # noqa: E402

from resilientslice.agent.program import serve  # noqa: E402
from resilientslice.agent.settings import AgentSettings  # noqa: E402
from resilientslice.agent.sockets import SocketTakenError  # noqa: E402


def parse_arguments(arguments: list[str] | None = None) -> AgentSettings:
    parser = argparse.ArgumentParser(prog="python -m resilientslice.agent", description="Feeds one Envoy.")
    parser.add_argument("--ads-socket", type=Path, required=True, help="unix socket to serve Envoy's ADS on")
    parser.add_argument("--api-socket", type=Path, required=True, help="unix socket to take configurations on")
    parser.add_argument("--admin-socket", type=Path, required=True, help="unix socket of Envoy's admin interface")
    parser.add_argument("--state-dir", type=Path, required=True, help="folder for the last accepted configuration")
    parser.add_argument("--fallback", type=Path, help="mounted copy, taken when it is newer than the state folder's")
    values = parser.parse_args(arguments)
    return AgentSettings(values.ads_socket, values.api_socket, values.admin_socket, values.state_dir, values.fallback)


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
