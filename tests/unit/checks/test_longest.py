"""Files that are named to begin first are there."""

import pytest

from tests.cluster.conftest import HERE, LONGEST

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", LONGEST)
def test_a_file_that_begins_first_is_there(name: str) -> None:
    assert (HERE / name).is_file()
