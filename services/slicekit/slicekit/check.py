"""`python -m slicekit.check`: exit 0 if the service of this container is ready, 1 with the reason if not.

For exec probes of services without a port. Standard library only, so that a probe costs milliseconds.
"""

import http.client
import json
import os
import sys

_SECONDS = 3.0


def ask(admin_port: int) -> tuple[bool, str]:
    """Whether the service behind the admin port is ready, and its words."""
    connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=_SECONDS)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        return response.status == 200, _reasons(response.read(65536))
    except (OSError, http.client.HTTPException) as exc:
        return False, f"the admin port {admin_port} does not answer: {exc}"
    finally:
        connection.close()


def _reasons(body: bytes) -> str:
    try:
        checks = json.loads(body)["checks"]
        failing = [f"{name}: {check['reason']}" for name, check in checks.items() if not check["ok"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "the admin port answered something unexpected"
    return "; ".join(failing) or "ready"


def main() -> None:
    text = os.environ.get("ADMIN_PORT", "").strip() or "8099"
    if not text.isdecimal() or not 0 < int(text) < 65536:
        sys.exit(f"not ready: ADMIN_PORT {text!r} is not a port that can be asked; give 1 to 65535")
    ready, words = ask(int(text))
    if not ready:
        sys.exit(f"not ready: {words}")
    sys.stdout.write(f"{words}\n")


if __name__ == "__main__":
    main()
