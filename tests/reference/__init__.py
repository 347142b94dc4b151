"""Generated reference pages.

Commands and contracts, from the parsers, models and enums of the code.
"""
