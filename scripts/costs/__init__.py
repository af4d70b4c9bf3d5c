"""What everything costs, measured: the tables of the README are made of these situations."""
