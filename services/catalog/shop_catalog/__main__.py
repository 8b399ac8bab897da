"""`python -m shop_catalog`: the service as a process."""

import slicekit
from shop_catalog.app import build

if __name__ == "__main__":
    slicekit.run(build, name="catalog")
