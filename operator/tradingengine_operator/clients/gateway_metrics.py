"""What a Gateway counted of a release by itself, as the metrics server has it. Traefik's own names are known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

from tradingengine_operator.builders import names
from tradingengine_operator.samples import Series

#: Before the word of what the Gateway counted.
PREFIX = "gateway-"


def gateway_counters(engine: str, namespace: str) -> dict[str, str]:
    """Expressions by what they count, for the slots' Services; how long a WebSocket lives is no request's duration."""
    job = f'job="{names.GATEWAY_JOB}"'
    own = f'{job},protocol!="websocket",service=~"{names.gateway_service(engine, namespace)}"'
    seconds, by = "traefik_service_request_duration_seconds", "sum by (service, instance)"
    counters = {
        "requests": f"{by} (traefik_service_requests_total{{{own}}})",
        "failed": f'{by} (traefik_service_requests_total{{{own},code=~"5.."}})',
        "answered": f"{by} ({seconds}_count{{{own}}})",
        "prompt": f"sum by (service, instance, le) ({seconds}_bucket{{{own}}})",
        "up": f"up{{{job}}}",
        "scraped": f"timestamp(up{{{job}}})",
    }
    return {f"{PREFIX}{what}": counter for what, counter in counters.items()}


@dataclass
class GatewayCounts:
    """What the Gateway counted, each of its own names of a Service apart: their counters begin and end apart.

    `releases` are by slot, `bound` is the limit of time in seconds.
    """

    engine: str
    namespace: str
    releases: Mapping[str, int]
    bound: float
    _found: dict[Series, float] = field(default_factory=dict)
    _prompt: dict[Series, dict[float, float]] = field(default_factory=dict)

    def take(self, what: str, labels: Mapping[str, str], target: str, value: float) -> None:
        """One series; of a slot that nobody asks for, nothing. KeyError when a label is missing."""
        known = re.fullmatch(names.gateway_service(self.engine, self.namespace), labels["service"])
        release = self.releases.get(known.group(2)) if known is not None else None
        if known is None or release is None:
            return
        key = Series(what, release, known.group(1), "gateway", f"{target} {labels['service']}")
        if what == "prompt":
            self._prompt.setdefault(key, {})[float(labels["le"])] = value
        else:
            self._found[key] = value

    def series(self) -> dict[Series, float]:
        """All of them; times only where a bucket is fit for the limit: the smallest that is no less."""
        prompt = {}
        for key, buckets in self._prompt.items():
            fit = [bound for bound in buckets if self.bound <= bound < inf]
            if fit:
                prompt[key] = buckets[min(fit)]
        timed = {replace(key, what="answered") for key in prompt}
        found = {key: value for key, value in self._found.items() if key.what != "answered" or key in timed}
        return found | prompt
