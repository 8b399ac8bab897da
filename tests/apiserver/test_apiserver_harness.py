"""What the other tests of this folder take for granted: the server is the pinned one, and it refuses strangers."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_server_is_of_the_version_that_go_mod_pins(bare_cluster) -> None:
    pinned = re.search(r"k8s\.io/kubernetes (v\S+)", (ROOT / "tests/apiserver/tools/go.mod").read_text())
    served = json.loads(bare_cluster.kubectl("version", "--output=json"))["serverVersion"]
    assert pinned is not None
    assert served["gitVersion"] == pinned.group(1)
    assert f"v{served['major']}.{served['minor']}." in pinned.group(1)


def test_a_stranger_is_refused(bare_cluster) -> None:
    refused = bare_cluster.run("get", "namespaces", "--token=not-the-token")
    assert refused.returncode != 0
    assert "You must be logged in to the server" in refused.stderr


def test_objects_of_built_in_kinds_are_validated(bare_cluster) -> None:
    refused = bare_cluster.run(
        "create", "--validate=strict", "--filename=-", stdin='{"apiVersion": "v1", "kind": "Namespace", "spek": {}}'
    )
    assert refused.returncode != 0
    assert "spek" in refused.stderr
