"""Roll out proxies after an operator upgrade: a bounded number of slices at a time."""
