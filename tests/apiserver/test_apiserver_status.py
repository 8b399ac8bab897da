"""What a slice says before an operator has looked at it, on the real API server: nobody takes it for done."""

import json

SLICE = """
apiVersion: resilientslice.dev/v1alpha1
kind: ResilientSlice
metadata: {name: shop}
spec:
  services: [{name: api, image: example.org/api:1, port: 8080}]
"""


def test_a_new_slice_waits_for_the_operator_and_says_so(cluster, namespace) -> None:
    cluster.kubectl("create", "--validate=strict", "-n", namespace, "-f", "-", stdin=SLICE)
    status = cluster.get("rslice", "shop", "-n", namespace)["status"]
    assert (status["phase"], status["observedGeneration"]) == ("Pending", 0)
    said = {condition["type"]: (condition["status"], condition["reason"]) for condition in status["conditions"]}
    assert said == {"Ready": ("Unknown", "Pending"), "Reconciling": ("True", "Pending")}
    waited = cluster.run("wait", "--for=condition=Ready", "--timeout=1s", "-n", namespace, "rslice/shop")
    assert "timed out" in waited.stderr
    assert "Unknown   Pending" in cluster.kubectl("get", "rslice", "shop", "-n", namespace)


def test_what_was_set_at_creation_goes_with_the_first_status(cluster, namespace) -> None:
    cluster.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=SLICE)
    change = json.dumps([{"op": "add", "path": "/status", "value": {"observedGeneration": 1, "phase": "Ready"}}])
    arguments = ("patch", "rslice", "shop", "-n", namespace, "--subresource=status", "--type=json", f"--patch={change}")
    cluster.kubectl(*arguments)
    assert cluster.get("rslice", "shop", "-n", namespace)["status"] == {"observedGeneration": 1, "phase": "Ready"}
    cluster.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=SLICE.replace("api:1", "api:2"))
    found = cluster.get("rslice", "shop", "-n", namespace)
    assert (found["status"]["observedGeneration"], found["metadata"]["generation"]) == (1, 2)
