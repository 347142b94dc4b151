"""INT8 quantisation by Q/DQ, with ranges and float layers chosen by measured cosine."""
