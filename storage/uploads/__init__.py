"""Uploads under way: sealed segments in files of their own."""
