"""`python -m shop_worker`: the service as a process. It has no port; its admin port answers probes."""

import slicekit
from shop_worker.app import build

if __name__ == "__main__":
    slicekit.run(build, name="worker", needs_port=False)
