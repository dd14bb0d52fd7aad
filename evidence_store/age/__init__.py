"""The age v1 file format (https://c2sp.org/age), as pure functions over bytes.

Randomness is passed in and nothing here does input or output. What this system
writes and reads is here: X25519 and passphrase recipients, binary files. Not
here: ASCII armour, plugins, and the post-quantum and tagged recipients; their
stanzas are passed over, as the format requires.
"""
