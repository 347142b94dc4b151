"""Access rules against an independent oracle, with random steps: `make rules-fuzz`."""
