"""Types of the TradingEngine resource. The CRD is generated from them; nothing here talks to a cluster."""

from .base import Model, seconds
from .checks import BUILT_IN, BuiltIn, Check
from .rollout import Step
from .spec import TradingEngineSpec
from .status import Condition, ConditionStatus, ConditionType, Phase, ReleaseStatus, Slot, TradingEngineStatus

GROUP = "tradingengine.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "TradingEngine"
PLURAL = "tradingengines"
#: The longest engine name with which every child's name and label stays within 63 characters.
MAX_NAME = 40

__all__ = [
    "API_VERSION",
    "BUILT_IN",
    "GROUP",
    "KIND",
    "MAX_NAME",
    "PLURAL",
    "VERSION",
    "BuiltIn",
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
