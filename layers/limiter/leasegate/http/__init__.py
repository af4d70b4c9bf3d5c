"""The HTTP face, without a web framework: bodies in, values out, and the other way round.

``routes`` is the table of all that is answered, ``requests`` and ``administration`` read what a caller asks,
``documents`` and ``replies`` write the answers, ``ratelimit`` the RateLimit fields, ``schemas`` says what all of
it looks like. Pure: whoever serves HTTP brings the socket.
"""
