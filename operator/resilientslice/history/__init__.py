"""The memory of a slice over restarts: how it is stored, and how it is recovered where it was lost."""
