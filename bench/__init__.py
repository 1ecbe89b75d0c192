"""Measurements. `make bench` runs them all; the same code runs tiny inside the tests, so that none rots."""
