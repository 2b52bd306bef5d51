"""Private spans of a text, in three tiers.

Read `detector` first. Its sources: `patterns` (with `identifiers`, `addresses`, `secrets`), spaCy and
Presidio (`presidio_engine`), the ONNX recogniser `rampart`, words that are no everyday ones (`lexicon`),
other languages (`scripts`), and an adopter's own detectors (`extra`). `refine` throws out what is plainly
wrong.
"""
