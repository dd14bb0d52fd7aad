"""Identification and embedded claims, read in an isolated process (ADR 0005).

Two sides: `supervisor`, `lane`, `process` and `answers` run in the trusted process and import no
parser; `worker`, `reading`, `sandbox` and `readers` run in the isolated one, which is not trusted.
"""
