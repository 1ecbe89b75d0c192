"""HTTP as Atoll holds it: one canonical internal object per concept.

Rules of this room: no sockets, no event loop, no authors' API. Header text is latin-1 decoded to str, so
that every byte that can stand in a field survives the way in and out (RFC 9110, section 5.5).
"""
