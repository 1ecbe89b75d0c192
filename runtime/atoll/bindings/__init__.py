"""What `env` holds: the variables and, in time, the bindings of a worker.

Rules of this room: one file a kind of binding; `env.py` puts them together for one invocation.
"""
