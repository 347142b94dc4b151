"""Facts and accounts of the operating system. Standard library only."""
