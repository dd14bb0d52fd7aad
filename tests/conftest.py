"""What several folders of tests share. A server starts when a test first asks for it."""

pytest_plugins = ["tests.catalogs", "tests.postgres", "tests.seaweedfs", "tests.tsa"]
