"""The rig of the cluster tests: an API server with controllers, a played stage, and operator processes to run on it."""

from __future__ import annotations

from tests.cluster.conftest import api_server, controlled_api_server, operated_api_server, rig

__all__ = ["api_server", "controlled_api_server", "operated_api_server", "rig"]
