"""The tests' Postgres and Redis: those of the desk (`te_desk.servers`)."""

from te_desk.servers import Postgres, Redis
from te_devcluster.ports import free_port

__all__ = ["Postgres", "Redis", "free_port"]
