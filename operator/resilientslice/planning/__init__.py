"""Compute desired objects, Envoy configuration and status from spec and observations. Pure.

Start at `plan.plan(slice_, observed, now, place=…) -> Plan`. A backend (the local runtime, the operator) makes
`observed.Observed` and hands `memory.Memory` from one plan to the next.
"""
