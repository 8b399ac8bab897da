"""A disposable Kubernetes on this machine, for the end-to-end tests; also where no container registry can be reached.

Where Docker can pull images this is plain kind with metrics-server. Elsewhere kind, its node image and stand-ins for
the public base images are built from Go modules and Debian packages, and kept in the user's cache.
"""
