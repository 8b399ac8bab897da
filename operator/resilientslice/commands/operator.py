"""`rslice operator`: the operator itself, as it runs in a cluster."""

import sys
from typing import Any, Literal

import click

from resilientslice.commands.image_options import image_options
from resilientslice.controller.build import reconciling
from resilientslice.healthcheck import DEFAULT_LISTEN
from resilientslice.kube.lease import new_identity
from resilientslice.operating.logs import configure_logs
from resilientslice.operating.program import run
from resilientslice.operating.settings import OperatorSettings, own_namespace
from resilientslice.render.images import Images
from resilientslice.rollouts.slots import PROXY_ROLLOUTS

EPILOG = """\b
Examples:
  rslice operator                                          all namespaces, with the current kubeconfig
  rslice operator --namespace shop --namespace billing     only these two
  rslice operator --log-format text --log-level DEBUG      to read along
  RSLICE_NAMESPACES="shop billing" rslice operator         every option has a variable

\b
Serves on --listen:
  /healthz   503 when only a restart helps: a watch, a pass or the queue is stuck
  /readyz    503 until everything was listed once; says who leads. A standby is ready too
  /metrics   for Prometheus

\b
Two or more may run: the holder of the Lease acts, the others watch and take over. It needs no kubeconfig in a
pod with a service account. SIGTERM ends passes under way, then hands the Lease over.

\b
Exit codes: 0 stopped, 1 the Lease was lost, or an error, 2 could not start.
"""


class Listen(click.ParamType[tuple[str, int]]):
    """`HOST:PORT`, `:PORT` for all addresses, `[::1]:PORT`; port 0 takes any."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, colon, port = str(value).rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            self.fail(f"{value} is not HOST:PORT, such as 0.0.0.0:8080", param, ctx)
        return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)


@click.command(epilog=EPILOG)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAMESPACE",
    envvar="RSLICE_NAMESPACES",
    help="Serve only this namespace; may be repeated.  [all]",
)
@click.option(
    "--lease-namespace",
    envvar=["RSLICE_LEASE_NAMESPACE", "POD_NAMESPACE"],
    default="default",
    show_default=True,
    help="Where the Lease of the leader is.",
)
@click.option(
    "--operator-namespace",
    envvar=["RSLICE_OPERATOR_NAMESPACE", "POD_NAMESPACE"],
    default=own_namespace,
    metavar="NAMESPACE",
    show_default="of this pod, else resilientslice-system",
    help="Namespace of the operator; slices' NetworkPolicies admit it to the agents from there.",
)
@click.option("--lease-name", envvar="RSLICE_LEASE_NAME", default="resilientslice-operator", show_default=True)
@click.option(
    "--listen",
    type=Listen(),
    envvar="RSLICE_LISTEN",
    default=DEFAULT_LISTEN,
    show_default=True,
    help="Health and metrics.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    envvar="RSLICE_WORKERS",
    default=8,
    show_default=True,
    help="Slices that are worked on at once.",
)
@click.option(
    "--proxy-rollouts",
    type=click.IntRange(1),
    metavar="SLICES",
    envvar="RSLICE_PROXY_ROLLOUTS",
    default=PROXY_ROLLOUTS,
    show_default=True,
    help="Maximum number of slices whose proxies roll out at the same time after an operator upgrade.",
)
@click.option(
    "--drain-seconds",
    type=click.FloatRange(0),
    envvar="RSLICE_DRAIN_SECONDS",
    default=10.0,
    show_default=True,
    help="How long passes under way may take to end on SIGTERM.",
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    envvar="RSLICE_LOG_LEVEL",
    default="INFO",
    show_default=True,
)
@click.option(
    "--log-format", type=click.Choice(["json", "text"]), envvar="RSLICE_LOG_FORMAT", default="json", show_default=True
)
@image_options
def command(
    *,
    namespaces: tuple[str, ...],
    lease_namespace: str,
    operator_namespace: str,
    lease_name: str,
    listen: tuple[str, int],
    workers: int,
    proxy_rollouts: int,
    drain_seconds: float,
    log_level: str,
    log_format: Literal["json", "text"],
    images: Images,
) -> None:
    """Run the operator: watch slices, and make and keep what they describe."""
    configure_logs(log_level.upper(), log_format)
    settings = OperatorSettings(
        lease_namespace=lease_namespace,
        lease_name=lease_name,
        identity=new_identity(),
        namespace=operator_namespace,
        namespaces=tuple(dict.fromkeys(namespaces)),
        host=listen[0],
        port=listen[1],
        workers=workers,
        proxy_rollouts=proxy_rollouts,
        images=images,
        drain_seconds=drain_seconds,
    )
    sys.exit(run(settings, reconciling))
