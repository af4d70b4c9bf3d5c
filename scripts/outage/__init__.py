"""An outage of the table, measured: what callers wait for, what is admitted, and when it is over."""
