"""Text as it is compared: one form for every spelling, with a map of offsets back.

Read `canonical` first; it puts together what `letters` (one character) and `escapes` (encodings) undo.
"""
