"""The cluster as its user sees it: that of the cluster tests, on the server that a file of this folder names."""

from tests.cluster.test_existing_demo import theirs

__all__ = ["theirs"]
