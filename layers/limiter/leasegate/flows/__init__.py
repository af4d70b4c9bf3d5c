"""Use cases as generators: each ``yield`` is one round trip, and there is no I/O, clock or randomness here."""
