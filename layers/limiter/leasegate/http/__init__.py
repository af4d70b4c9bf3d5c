"""The HTTP face, without a web framework: bodies in, values out, and the other way round.

``routes`` is the table of all that is answered, and ``routing`` finds in it what a request is for. ``requests``
reads a request's head, ``idempotency`` the key in it, ``spending`` and ``administration`` its body. ``verdicts``
and ``documents`` say what is answered, ``replies`` writes it and explains errors, ``ratelimit`` writes the
RateLimit fields; ``schemas`` says what all bodies look like. Pure: whoever serves HTTP brings the socket.
"""
