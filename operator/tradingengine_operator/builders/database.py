"""The embedded Postgres."""

from __future__ import annotations

from . import names, pods, stateful
from .context import EngineContext, Manifest
from .store_access import DATABASE_LOGINS, DATABASE_NAME, DATABASE_OWNER

_SECRET_DIR = f"{pods.SECRETS_DIR}/database"
_DATA = "/var/lib/postgresql/data"


def build_database(ctx: EngineContext) -> list[Manifest]:
    """Service and StatefulSet of the embedded database; nothing when it is managed."""
    if ctx.spec.database.type != "embedded":
        return []
    name = names.database(ctx.name)
    return [
        stateful.service(ctx, name, "database", "postgres", names.DATABASE_PORT),
        stateful.stateful_set(
            ctx,
            name,
            "database",
            _template(ctx),
            stateful.claim_template(ctx, "data", "database", ctx.spec.database.storage),
        ),
    ]


def _template(ctx: EngineContext) -> Manifest:
    volumes, mounts = pods.scratch(("tmp", "/tmp"))  # noqa: S108 - inside the pod
    # The server reads login and password when it makes the cluster; a person may fetch the address from here.
    files = {"login": "username", "password": "password", "uri": "uri"}
    secret, mount = pods.store_volume("database", names.store_access(ctx.name, "database"), **files)
    container: Manifest = {
        "name": "postgres",
        "image": ctx.images.postgres,
        "imagePullPolicy": ctx.spec.images.pull_policy,
        "ports": [{"name": "postgres", "containerPort": names.DATABASE_PORT, "protocol": "TCP"}],
        "env": pods.env(
            {
                "POSTGRES_USER": DATABASE_OWNER,
                "POSTGRES_DB": DATABASE_NAME,
                "POSTGRES_LOGINS": " ".join(DATABASE_LOGINS),
                "POSTGRES_LOGIN_FILE": f"{_SECRET_DIR}/login",
                "POSTGRES_PASSWORD_FILE": f"{_SECRET_DIR}/password",
                "PGDATA": f"{_DATA}/pgdata",
            }
        ),
        "resources": pods.resources("50m", "128Mi", "1", "512Mi"),
        "securityContext": pods.container_security(),
        "volumeMounts": [
            {"name": "data", "mountPath": _DATA},
            mount,
            *mounts,
        ],
    } | pods.exec_probes(
        [
            "pg_isready",
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(names.DATABASE_PORT),
            "-U",
            DATABASE_OWNER,
            "-d",
            DATABASE_NAME,
        ]
    )
    return {
        "metadata": {"labels": ctx.labels("database")},
        "spec": pods.pod_spec(names.component(ctx.name, "database"), container, [secret, *volumes]),
    }
