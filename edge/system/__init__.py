"""Operating system: accounts, clock, standard error, leftover files. Standard library only."""
