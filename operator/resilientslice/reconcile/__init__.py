"""From what is wanted and what is seen to what is to be: gather → plan → apply → status.

The heart is pure: `plan.plan(slice_, observed, now, place=…) -> Plan`, with `observed.Observed` made by whoever sees
the world (the local runtime, the operator) and `memory.Memory` handed from one plan to the next.
"""
