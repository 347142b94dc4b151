"""What is left of gallery and records after kill -9 at any moment, and after the power is cut: `python -m tests.durability`."""
