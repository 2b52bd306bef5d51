"""Known values: the strings that must never leave, found in any spelling.

Read `matcher` first. `spellings` and `dates` give the other notations of a value, `typos` its near misses.
"""
