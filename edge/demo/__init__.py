"""Demo of a complete terminal on a clip drawn from two public-domain portraits."""
