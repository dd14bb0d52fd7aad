"""The command line `evidence`: one module per noun or verb; data on stdout, progress on stderr."""
