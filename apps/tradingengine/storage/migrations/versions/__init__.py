"""One file for each revision, in two chains: `expand` (0001, 0002, ...) and `contract` (c0002, ...).

An expansion leaves the version before working on the schema of the version after. What it replaced is taken away by
a contract of its number, in the same file set, which runs when no version before it may serve again. The first revision
of each chain carries its label.
"""
