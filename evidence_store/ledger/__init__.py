"""The transparency log: its formats and proofs, as values and pure functions.

C2SP formats over the tree of RFC 9162. Nothing here reads, writes or knows a clock.
"""
