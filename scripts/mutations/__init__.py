"""Deliberate defects, each with the tests that must notice it: the proof that the tests can fail."""
