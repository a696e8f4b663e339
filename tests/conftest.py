"""What every ring of tests shares."""

pytest_plugins = ["tests.fixtures.backing"]
