"""Reads objects from the API server over HTTP. Tests look ten times a second, and a process of kubectl for each look
took more of the processor than what was looked at."""

import base64
import functools
import http.client
import json
import ssl
import tempfile
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
_SECONDS = 60.0
_PATIENCE_SECONDS, _AGAIN_SECONDS = 15.0, 0.25
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class ReadError(Exception):
    """The API server gave no answer, or another one than the object. `passing`: it may, a moment later."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Resource:
    """`path` is before the namespace: /apis/apps/v1."""

    path: str
    plural: str
    namespaced: bool

    def url(self, namespace: str | None, name: str = "", selector: str = "") -> str:
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        asked = f"?labelSelector={urllib.parse.quote(selector)}" if selector else ""
        return f"{self.path}{scope}/{self.plural}{f'/{name}' if name else ''}{asked}"


class Reader:
    """Of the cluster of a kubeconfig with a client certificate, as kind writes it. Calls block: use threads."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        server = urllib.parse.urlsplit(cluster["server"])
        self._host, self._port = server.hostname or "", server.port or 443
        self._tls = ssl.create_default_context(cadata=_text(cluster["certificate-authority-data"]))
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as both:  # a certificate can only be read from a file
            both.write(_text(user["client-certificate-data"]) + "\n" + _text(user["client-key-data"]))
            both.flush()
            self._tls.load_cert_chain(both.name)
        self._known: dict[str, Resource] = {}

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """`kind` as kubectl takes it: plural, singular or short. None: there is no such object."""
        return self._ask(self._resource(kind).url(namespace, name))

    def list(self, kind: str, namespace: str | None, selector: str = "") -> list[Object]:
        found = self._ask(self._resource(kind).url(namespace, selector=selector))
        if found is None:
            raise ReadError(f"{kind}: not found")
        kind_of_items = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
        return [kind_of_items | item for item in found["items"]]

    def _resource(self, kind: str) -> Resource:
        if kind not in self._known:  # a CRD may have come since
            self._known = {**self._discovered("/apis"), **self._discovered("/api")}
        if kind not in self._known:
            raise ReadError(f"the server has no resource {kind!r}")
        return self._known[kind]

    def _discovered(self, path: str) -> Mapping[str, Resource]:
        found: dict[str, Resource] = {}
        for group in (self._ask(path, accept=_DISCOVERY) or {}).get("items", []):
            name = group.get("metadata", {}).get("name")
            for version in group["versions"][:1]:
                root = f"/apis/{name}/{version['version']}" if name else f"/api/{version['version']}"
                for each in version.get("resources", []):
                    resource = Resource(root, each["resource"], each["scope"] == "Namespaced")
                    for alias in (each["resource"], each["singularResource"], *each.get("shortNames", [])):
                        found.setdefault(alias, resource)
        return found

    def _ask(self, url: str, accept: str = "application/json") -> Object | None:
        """Again for a while when the API server is on its way down or up: tests do that to it."""
        began = time.monotonic()
        while True:
            try:
                return self._asked(url, accept)
            except ReadError as error:
                if not error.passing or time.monotonic() - began > _PATIENCE_SECONDS:
                    raise
                time.sleep(_AGAIN_SECONDS)

    def _asked(self, url: str, accept: str) -> Object | None:
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=_SECONDS, context=self._tls)
        try:
            connection.request("GET", url, headers={"Accept": accept})
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ReadError(f"GET {url}: {error}", passing=True) from error
        finally:
            connection.close()
        if answer.status == 404:
            return None
        if answer.status != 200:
            words = f"GET {url}: {answer.status}: {data[:500].decode(errors='replace')}"
            raise ReadError(words, passing=answer.status == 429 or answer.status >= 500)
        found: Object = json.loads(data)
        return found


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


@functools.cache
def reader(kubeconfig: Path) -> Reader:
    return Reader(kubeconfig)
