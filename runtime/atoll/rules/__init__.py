"""Pure answers: from values to a value, without I/O, clock or event loop.

Rules of this room: what is asked here can be asked again with the same result, so its tests are tables.
"""
