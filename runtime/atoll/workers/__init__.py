"""The authors' API: what a worker imports as `workers`, and how its handlers are found and called.

Rules of this room: the classes here are thin faces over the objects of `atoll.http`; they turn what an author
gives into those and back, and keep no copy of a body. Nothing here opens a connection: a fetch goes to the
Fetcher of the running invocation. Nothing here is imported by authors under this name: `facade.py` makes the
module `workers` of each isolate.

    faces.py        what the kernel uses: AuthorsFaces
    facade.py       the module `workers`, fresh for each isolate
    entrypoint.py   WorkerEntrypoint, and finding a module's handler
    handlers.py     checking handlers at load; with how many arguments they are called
    response.py · request.py    the faces of a message; content.py is what they have in common
    headers.py · streams.py · bodies.py · text.py    the faces of its parts
    fetching.py · context.py    fetch, ctx, env and wait_until
    sealed.py       how shared classes are kept from change

Source: the public documentation of Cloudflare's Python Workers; what goes beyond it is marked "Atoll".
"""
