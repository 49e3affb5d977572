"""Types of the TradingEngine resource. The CRD is generated from them; nothing here talks to a cluster."""

from .base import Model, seconds
from .rollout import Check, Step
from .spec import TradingEngineSpec
from .status import Condition, ConditionStatus, ConditionType, Phase, ReleaseStatus, Slot, TradingEngineStatus

GROUP = "tradingengine.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "TradingEngine"
PLURAL = "tradingengines"

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "PLURAL",
    "VERSION",
    "Check",
    "Condition",
    "ConditionStatus",
    "ConditionType",
    "Model",
    "Phase",
    "ReleaseStatus",
    "Slot",
    "Step",
    "TradingEngineSpec",
    "TradingEngineStatus",
    "seconds",
]
