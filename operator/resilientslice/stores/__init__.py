"""Credentials and volumes of the stores that the operator provisions."""
