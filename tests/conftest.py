"""Fixtures of every test; they live in tests/fixtures, one module for each thing they start."""

import os

from hypothesis import settings

pytest_plugins = [
    "tests.fixtures.dynamodb",
    "tests.fixtures.embedded",
    "tests.fixtures.functions",
    "tests.fixtures.recorded",
    "tests.fixtures.simulated_aws",
    "tests.fixtures.stores",
]


def pytest_configure() -> None:
    """Keep the tests away from whatever account the person who runs them is logged in to, and from the clock."""
    settings.register_profile("leasegate", deadline=None)  # no test asserts a wall time
    settings.load_profile("leasegate")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        if name != "AWS_CA_BUNDLE":
            del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
