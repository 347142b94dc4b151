"""Behaviour of the lock while parts of a terminal fail: `python -m tests.faults`."""
