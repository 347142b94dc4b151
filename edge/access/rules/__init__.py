"""Access rules of one terminal: lanes, times, factors and rights of people.

Pure: times and states of doors are arguments; no file is read or written. Start with `engine.py`.
The rules in words, with their tests: docs/door.md.
"""
