"""Specifications drawn at random: a few fields of the resource, each with a value from its pool, good or bad."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

Spec = dict[str, Any]

_TEXTS: tuple[Any, ...] = ("", "-", "a b", "\u00e9", "x\n", "0", 7, True, None)
_AMOUNTS: tuple[Any, ...] = (
    "100m", "64Mi", "128Mi", "512Mi", "513Mi", "1Gi", "1G", "1.5Gi", "0.5", "1", "2", "1000m", "1001m", 1, 2, 0, -1,
    -(2**40), 10**12, 1.5, "-1", "+1", "1e3", "0", "0m", "1n", "1u", "1P", "1.0000", "1.", ".5", "0x1", "1 ", "1mi",
    "100Ti", "999999999999Ti", True, None, "",
)  # fmt: skip
_SIZES: tuple[Any, ...] = (
    "1Gi", "256Mi", "255Mi", "31Mi", "32Mi", "63Mi", "64Mi", "10Ti", "0Gi", "01Gi", "1.5Gi", "10", "1G", "-1Gi", 5,
    None,
)  # fmt: skip
_DURATIONS: tuple[Any, ...] = (
    "1s", "0s", "0m", "10m", "1h30m", "24h", "24h1s", "168h", "168h1s", "720h", "719h60m", "720h1s", "99999h", "30m1h",
    "1d", "1.5h", "-1s", "1h 1m", "m", "manual", 10, "", None, "99999h99999m999999s",
)  # fmt: skip
_NAMES: tuple[Any, ...] = (
    "web", "a.b-c", "-a", "a-", "a..b", "A", "1", "a" * 63, "a" * 64, "a" * 253, "a" * 254, *_TEXTS,
)  # fmt: skip
_HOSTS: tuple[Any, ...] = (
    "desk.localhost", "localhost", "a.b.c", "1a.example.com", "example.1a", "10.0.0.1", "*.example.com", "desk.",
    f"{'x' * 63}.com", f"{'x' * 64}.com", "xn--a.com", "desk_1.com", "Desk.com", "::1", *_TEXTS,
)  # fmt: skip
_IMAGES: tuple[Any, ...] = (
    "apps", "apps:1.4.2", "r:5000/a/b:c", "r:65536/a", "a//b", "A/b", "a/B", "a:B", "a:b:c", "a@sha256:1",
    f"a@sha256:{'0' * 64}", f"a:b@sha256:{'f' * 64}", f"a@sha256:{'F' * 64}", "a__b", "a___b", "a--b", "a..b", "/a",
    "a/", f"a:{'t' * 128}", f"a:{'t' * 129}", *_TEXTS,
)  # fmt: skip
_DAYS: tuple[Any, ...] = (
    "2026-10-05", "2026-02-29", "2028-02-29", "2000-02-29", "2100-02-28", "2026-04-31", "2026-00-01", "2026-01-00",
    "2026-1-1", "20261005", "2026-10-05T00:00:00Z", "1999-12-31", *_TEXTS,
)  # fmt: skip
_CIDRS: tuple[Any, ...] = (
    "203.0.113.0/24", "203.0.113.1/24", "0.0.0.0/0", "1.2.3.4/32", "1.2.3.4", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/032",
    "01.2.3.4/32", "256.0.0.0/8", "10.0.0.0/08", "::/0", "10.0/8", "1.2.3.4.5/32", *_TEXTS,
)  # fmt: skip
_URLS: tuple[Any, ...] = (
    "http://prometheus.monitoring:9090", "https://a/b/c/", "http://10.0.0.1:80/x", "http://10.0.0.256", "prom:9090",
    "http://", "http://a:0", "http://a:65535", "http://a:65536", "http://u:p@a", "http://a?x=1", "http://a#x",
    "http://a b", "http://a/\u00a0", "ftp://a", "HTTP://a", *_TEXTS,
)  # fmt: skip
_COUNTS: tuple[Any, ...] = (
    1, 2, 3, 50, -1, 0, 7, 10, 51, 60, 100, 101, 1000, 1001, 2**31 - 1, 2**31, 10**12, 10**12 + 1, 1.5, "x", None,
)  # fmt: skip
_WEIGHTS: tuple[Any, ...] = (0, 0.05, 0.1, 0.15, 1, 1.1, 10, 33.3, 50, 50, 99.9, 100, 100, 100, 100.1, -1, "x", None)
_LABEL_KEYS = (
    "zone", "example.com/zone", "kubernetes.io/hostname", "Example.com/zone", "a/b/c", "/zone", "zone/", "my zone",
    "k" * 63, "k" * 64, "", ".zone", "zone.", "a_b.c-D", f"{'p' * 253}/k", f"{'p' * 254}/k", "\u00e9", "example..com/z",
)  # fmt: skip
_LABELS: tuple[Any, ...] = ("x", "", "a b", "A_b.c-D", "-a", "a-", "v" * 63, "v" * 64, "\u00e9", 1, None)
_WORDS: tuple[Any, ...] = ("paper", "live", "retain", "any", "simulator", "", "other", None)
_SEGMENTS = ("NSE_EQ", "NSE_FO", "MCX", "NYSE")
_SECRET_KEYS: tuple[Any, ...] = ("uri", ".", "..", "..a", ".a", "a..", "a/b", "k" * 253, "k" * 254, *_TEXTS)

#: Paths that are set outright, and the values to draw from.
_POOLS: dict[str, Sequence[Any]] = {
    "version": ("1.4.2", "1.4.2-rc.1", "1.4", "v1.4.2", "1.4.2-", f"1.4.2-{'x' * 57}", f"1.4.2-{'x' * 58}", *_TEXTS),
    "host": _HOSTS,
    "paused": (True, False, None),
    "deletionPolicy": (*_WORDS, "delete"),
    "environment": ("development", "staging", "production", *_WORDS),
    "images.api": _IMAGES,
    "images.edge": _IMAGES,
    "images.pullPolicy": ("Always", "Never", *_WORDS),
    "gateway.name": _NAMES,
    "gateway.namespace": _NAMES,
    "gateway.throttle": ("1ms", "0ms", "200ms", "99999ms", "100000ms", "0s", "59s", "60s", "1m", *_TEXTS),
    "gateway.metrics.dialect": ("traefik", "none", "envoy", *_WORDS),
    "api.replicas.min": _COUNTS,
    "api.replicas.max": _COUNTS,
    "api.targetCPU": _COUNTS,
    "dashboard.replicas.min": _COUNTS,
    "dashboard.replicas.max": _COUNTS,
    "rollout.noDataBudget": _DURATIONS,
    "rollout.warmSlot": _DURATIONS,
    "rollout.historyLimit": _COUNTS,
    "rollout.window": ("any", "outsideMarketHours", *_WORDS),
    "database.embedded.storage": _SIZES,
    "database.type": ("embedded", "managed", "other", None),
    "database.managed.secretName": _NAMES,
    "database.managed.key": _SECRET_KEYS,
    "cache.embedded.storage": _SIZES,
    "cache.type": ("embedded", "managed", "other", None),
    "edge.journal.storage": _SIZES,
    "edge.journal.storageClassName": _NAMES,
    "edge.enabled": (True, False, None),
    "risk.dailyLoss": _COUNTS,
    "risk.cash.order": _COUNTS,
    "risk.ordersPerSecond": _COUNTS,
    "marketData.source": ("simulator", "replay", "broker", *_WORDS),
    "marketData.simulator.seed": _COUNTS,
    "marketData.replay.claimName": _NAMES,
    "marketData.replay.from": _DAYS,
    "marketData.replay.speed": _COUNTS,
    "monitoring.prometheus": _URLS,
}


def draw_spec(rng: random.Random) -> Spec:
    """One specification without its version, unless that was drawn too; about every second one is good."""
    spec: Spec = {}
    for _ in range(rng.choice((1, 1, 2, 3))):
        shape = rng.randrange(10)
        if shape == 0:
            _set(spec, "rollout.steps", _steps(rng))
        elif shape == 1:
            _set(spec, "edge.nodeSelector", _drawn(rng, _LABEL_KEYS, _LABELS))
        elif shape in {2, 3}:
            for part in rng.choice((("requests",), ("limits",), ("requests", "limits"))):
                names = ("cpu", "memory", "memory", "ephemeral-storage", "gpu")
                _set(spec, f"api.resources.{part}", _drawn(rng, names, _AMOUNTS))
        elif shape == 4:
            _set(spec, "segments", rng.choices(_SEGMENTS, k=rng.randrange(4)))
        elif shape == 5:
            egress = [{"cidr": rng.choice(_CIDRS), "port": rng.choice((443, 443, 1, 0, 65535, 65536))}]
            _set(spec, "edge.egress", egress * rng.choice((1, 2)))
        else:
            path = rng.choice(sorted(_POOLS))
            _set(spec, path, rng.choice(_POOLS[path][:2] if rng.random() < 0.7 else _POOLS[path]))
    return spec


def _drawn(rng: random.Random, keys: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    few = rng.random() < 0.7
    pools = (keys[:3], values[:2]) if few else (keys, values)
    return {rng.choice(pools[0]): rng.choice(pools[1]) for _ in range(rng.choice((1, 2)))}


def _steps(rng: random.Random) -> list[Spec]:
    weights: list[Any] = [rng.choice(_WEIGHTS) for _ in range(rng.choice((1, 2, 3)))]
    if rng.random() < 0.6:
        weights = [*sorted(weight for weight in weights if isinstance(weight, int | float)), 100]
    steps = []
    for weight in weights:
        step: Spec = {"weight": weight}
        if rng.random() < 0.8:
            step["hold"] = rng.choice(("10m", "1h", *_DURATIONS))
        steps.append(step)
    return steps


def _set(spec: Spec, path: str, value: Any) -> None:
    """Sets a value below objects, which are made."""
    *parents, last = path.split(".")
    for name in parents:
        spec = spec.setdefault(name, {})
    spec[last] = copy.deepcopy(value)
