"""How bytes become evidence: sources, one pass over each, identification, claims. No storage here."""
