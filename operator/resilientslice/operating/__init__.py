"""The operator as a process: its settings, who leads, what it says of itself, and how it ends."""
