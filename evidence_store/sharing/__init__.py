"""Sharing: what is granted to whom, on which terms, and the decision on each access."""
