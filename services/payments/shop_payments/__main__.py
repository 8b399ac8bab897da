"""`python -m shop_payments`: the service as a process."""

import slicekit
from shop_payments.app import build

if __name__ == "__main__":
    slicekit.run(build, name="payments")
