"""The rig of the cluster tests: an API server with controllers, a played stage, and operator processes to run on it."""

from tests.cluster.conftest import controlled_api_server, operated_api_server, rig

__all__ = ["controlled_api_server", "operated_api_server", "rig"]
