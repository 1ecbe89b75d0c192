"""The kernel: a script becomes isolates, an event becomes an invocation, and every step is charged.

Rules of this room: no sockets and no HTTP framing; what authors see comes through `ports.Faces`, what leaves
goes through `ports.Fetcher`. Reading order: loader, isolate, meter, invocation, dispatch.
"""
