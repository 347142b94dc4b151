"""INT8 by Q/DQ: ranges from real chips, the inserter, and `mfsa-quantize`, which chooses by measured cosine."""
