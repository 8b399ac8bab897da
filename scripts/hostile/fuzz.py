"""Requests made from the OpenAPI documents (schemathesis) against running services: `python -m scripts.hostile.fuzz`.

Every operation, valid and invalid, then chains of operations by their links. A 5xx, an answer that the document does
not name, or a body that breaks its schema fails the run.
"""

import argparse
import random
import subprocess
import sys
from pathlib import Path

from testkit.waiting import StartError


def fuzz_command(
    name: str, url: str, *, examples: int, seed: int, phases: str = "coverage,fuzzing,stateful"
) -> list[str]:
    """The command for one service. One tenant, so that what one request makes another can read."""
    program = str(Path(sys.executable).with_name("schemathesis"))
    options = ["--checks", "all", "--phases", phases, "--continue-on-failure", "--no-color"]
    bounds = ["--max-examples", str(examples), "--seed", str(seed), "--request-timeout", "30"]
    # A body can keep every rule and name products that don't exist: refused with a 422 that says so.
    unknown = ["--exclude-checks", "positive_data_acceptance"] if name == "api" else []
    return [program, "run", f"{url}/openapi.json", *options, *bounds, *unknown, "--header", "X-Tenant: fuzz"]


def main() -> int:
    from scripts.hostile.shop import running_shop  # noqa: PLC0415 - the test of this file starts its own

    parser = argparse.ArgumentParser(prog="python -m scripts.hostile.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=300, help="per operation (default 300)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31), help="to repeat a run")
    args = parser.parse_args()
    print(f"seed {args.seed}, {args.examples} examples an operation", flush=True)
    failed = []
    with running_shop() as services:
        for service in services.values():
            print(f"==> {service.name}", flush=True)
            command = fuzz_command(service.name, service.url, examples=args.examples, seed=args.seed)
            if subprocess.run(command, check=False).returncode:
                failed.append(service.name)
    if failed:
        print(f"error: {', '.join(failed)}; repeat by --examples {args.examples} --seed {args.seed}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StartError as error:
        sys.exit(f"error: {error}")
