"""Reconcile one slice against the Kubernetes API: gather → plan → push → apply → status.

What is written is decided elsewhere (planning, render, canary). What can not be written is reported and retried.
"""
