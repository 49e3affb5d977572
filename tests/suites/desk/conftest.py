"""The desks of a test, as the integration tests end them."""

from tests.integration.desk.test_desk import desks

__all__ = ["desks"]
