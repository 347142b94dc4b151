"""What the lock's line does while parts of a terminal are killed, stopped, blocked or lied to: `python -m tests.faults`."""
