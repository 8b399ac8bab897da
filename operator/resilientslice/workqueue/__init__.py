"""Whose turn it is: keys with deadlines, and the workers that take them, never two on one key."""
