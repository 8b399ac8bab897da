"""The objects of the stores that the operator runs itself."""
