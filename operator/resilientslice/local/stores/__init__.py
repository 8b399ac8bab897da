"""The managed stores, as servers from wheels."""
