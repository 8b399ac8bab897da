"""The only package that talks to the Kubernetes API. It knows kinds, requests and watches, not what slices mean.

Why our own client, and not a library's: docs/adr/0011.
"""
