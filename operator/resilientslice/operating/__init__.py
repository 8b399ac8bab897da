"""The operator as a process: what it is told at its start, who leads, what it says of itself, and how it ends."""
