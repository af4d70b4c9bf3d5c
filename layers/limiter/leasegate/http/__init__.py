"""The HTTP face, without a web framework: bodies in, values out, and the other way round.

``requests`` reads what a caller asks, ``ratelimit`` writes the RateLimit fields, ``replies`` the answers. Pure:
whoever serves HTTP brings the socket.
"""
