"""Cooperation between States: who is who, and who asks whom for what."""
