"""Servers that several folders of tests share. Each starts when a test first asks for it."""

pytest_plugins = ["tests.postgres", "tests.seaweedfs"]
