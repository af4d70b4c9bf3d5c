"""Leasegate inside Lambda: what the functions of the stack have in common, and the package must not know.

``table`` reaches the table that the environment names, ``serving`` answers the REST API's events, ``annotations``
tells traces about them; ``usage`` says how usage is counted, ``queue`` keeps what cannot be. Each function's
app.py builds what it needs of them, once.
"""
