"""Traces of functions that run on this machine: capture, before and after, and how they are shown."""
