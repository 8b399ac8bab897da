"""The Secret of a managed store. Passwords are handed in: they are drawn once, at the first apply, and never rendered
from a slice, so that neither `rslice render` nor a repository ever shows one."""

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.metadata import Object, metadata
from resilientslice.render.names import store_name
from resilientslice.render.store_settings import APPLICATION, STORE_PORTS
from resilientslice.render.stores.kept import KEPT, kept_labels


def render_credentials(slice_: ResilientSlice, store: StoreName, *, password: str, superuser_password: str) -> Object:
    """`password` is the services'; `superuser_password` is PostgreSQL's own, for backups and repair.

    Both must be URL-safe (letters, digits, `-`, `_`): they are put into a URL and a configuration file as they are.
    """
    host, port = store_name(slice_.name, store), STORE_PORTS[store]
    if store is StoreName.POSTGRES:
        data = {
            "superuser-password": superuser_password,
            "password": password,
            "url": f"postgresql://{APPLICATION}:{password}@{host}:{port}/{APPLICATION}",
        }
    else:
        data = {
            "auth.conf": f"requirepass {password}\n",
            "password": password,
            "url": f"redis://:{password}@{host}:{port}/0",
        }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(slice_, host, kept_labels(slice_, store), KEPT),
        "type": "Opaque",
        "stringData": data,
    }
