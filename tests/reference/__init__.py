"""Generated reference pages: commands and contracts, from the parsers, models and enums of the code."""
