"""Where the repository's own files are, and its samples as documents."""

from pathlib import Path

import yaml

from resilientslice.kube.kinds import Object

ROOT = Path(__file__).resolve().parents[1]


def sample(name: str) -> Object:
    """`samples/NAME.yaml`, fresh each time: callers edit it."""
    document: Object = yaml.safe_load((ROOT / "samples" / f"{name}.yaml").read_text())
    return document


def service_of(document: Object, name: str) -> Object:
    """A service of a slice's document, to be edited in place."""
    found: Object = next(service for service in document["spec"]["services"] if service["name"] == name)
    return found
