"""Measures of how far a generation has come: pure functions on arrays."""
