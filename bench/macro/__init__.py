"""Whole programs side by side: upstream and load on one core, the gateway on another."""
