"""Facts about operating systems. Standard library only."""
