"""What several folders of tests share. A server starts when a test first asks for it."""

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.catalogs",
    "tests.postgres",
    "tests.seaweedfs",
    "tests.served",
    "tests.tsa",
]

# A machine that does something else at the moment is no fault of the product's.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
