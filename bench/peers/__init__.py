"""Other gateways that do the same job as Atoll with `bench/macro/worker.py`, to compare with.

A peer is a folder: a small, tuned program, as those write it who know the tool, and a `peer.py` that installs and
starts it. What it needs goes into `.installed/`; nothing is installed into the system.
"""
