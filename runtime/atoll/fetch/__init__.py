"""The subrequest engine: what a handler's `fetch` goes through, from the wrappers to the socket.

Rules of this room: httptools, aiohappyeyeballs and TLS are met here and nowhere else, and none of their errors gets
out. What outlives an invocation (connections, look-ups, timers) is made in an empty context. The way in is
`stack.build`; the files in the order of a subrequest: redirect, metered, guard, client, route, pool, dial, tunnel,
tls, http1, framing; http2 and exchange are the other way out.
"""
