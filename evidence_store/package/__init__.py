"""The package that a court gets: how it is laid out, written, read and verified. `docs/format.md`, 14."""
