"""Gallery and audit log after kill -9 and power cuts: `python -m tests.durability`."""
