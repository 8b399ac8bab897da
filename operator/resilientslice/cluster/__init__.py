"""The backend for a cluster: gather → plan → apply → status for one slice at a time, against the Kubernetes API.

What it writes is decided elsewhere (reconcile, render, canary); what it can't write it says, and tries again.
"""
