"""`python -m shop_api`: the service as a process."""

import slicekit
from shop_api.app import build

if __name__ == "__main__":
    slicekit.run(build, name="api")
