"""One module per family of files: what its parser finds, as `reader.Found`. For the worker only.

Nothing outside this package imports a parser of hostile files, and nothing that the trusted
process imports imports this package.
"""
