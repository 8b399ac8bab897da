"""Decides where a canary stands: `(state, wanted, signals, now) → decision`. Pure: no I/O, no clock, no framework."""
