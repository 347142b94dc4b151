"""Access rules of one terminal: who may pass which lane, when and with which factors.

Pure: times and states of doors are arguments, nothing is read or written. Start with `engine.py`.
The rules in words, with their tests: docs/door.md.
"""
