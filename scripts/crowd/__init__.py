"""A crowd of processes at one bucket, over HTTP: all is delivered that the limit allows, and nothing more."""
