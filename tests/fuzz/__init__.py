"""What parsers do with input that nobody meant.

Targets for atheris and for hypothesis, `python -m tests.fuzz --minutes N`.
"""
