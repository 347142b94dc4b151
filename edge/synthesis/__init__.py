"""Synthetic camera frames drawn from the two portraits, for the demo and the rehearsal."""
