"""Fuzzing of all parsers.

Targets for atheris and for hypothesis, `python -m tests.fuzz --minutes N`.
"""
