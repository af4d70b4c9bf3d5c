"""Measures cold starts of the acquire function; see `python -m scripts.coldstart --help`."""
