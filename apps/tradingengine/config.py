"""Settings of a process: typed, from `TE_*` variables and one JSON file; what is wrong is named once and clearly.

The file is written by the operator (docs/developer/interfaces.md, section 1). Fields that this version does not know
are ignored, so that a file of the next version can be read.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from tradingengine.addresses import Address, checked
from tradingengine.domain.risk import Limits
from tradingengine.errors import ConfigError

DEFAULT_CONFIG: Final = "/etc/tradingengine/config.json"
DEFAULT_STATE_DIR: Final = "/var/lib/tradingengine"
MIN_TOKEN: Final = 16
DATABASE_SCHEMES: Final = ("postgresql", "postgres")
CACHE_SCHEMES: Final = ("redis", "rediss")

Mode = Literal["paper", "live"]
Environment = Literal["development", "staging", "production"]
Component = Literal["api", "dashboard", "edge", "migrations", "prober"]
Slot = Literal["a", "b", ""]


class Broker(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One broker account; `orders_per_minute` is None when only the exchange's limits apply."""

    name: str
    orders_per_minute: int | None = None
    priority: int = 1
    endpoint: str | None = None


class CashRisk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Limits of the cash segment in rupees."""

    order: int = 500_000
    position: int = 1_500_000


class Risk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Limits of the engine, in rupees and orders per second."""

    daily_loss: int = 25_000
    cash: CashRisk = CashRisk()
    orders_per_second: int = 9

    def limits(self) -> Limits:
        """The same for the gate, in paise."""
        return Limits(
            order_paise=self.cash.order * 100,
            position_paise=self.cash.position * 100,
            daily_loss_paise=self.daily_loss * 100,
            orders_per_second=self.orders_per_second,
        )


class Simulator(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The seeded price simulator."""

    seed: int = 1


class Replay(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Replay of recorded prices from the claim mounted at `TE_DATA_DIR`; `start` is an ISO date or empty."""

    claim_name: str = ""
    start: str = msgspec.field(default="", name="from")
    speed: float = 1.0


class MarketData(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where prices come from."""

    source: Literal["simulator", "replay", "broker"] = "simulator"
    simulator: Simulator = Simulator()
    replay: Replay = Replay()


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The engine as its resource describes it."""

    engine: str = "desk"
    namespace: str = "default"
    mode: Mode = "paper"
    environment: Environment = "development"
    segments: tuple[str, ...] = ("NSE_EQ",)
    host: str = ""
    brokers: tuple[Broker, ...] = (Broker(name="paper"),)
    risk: Risk = Risk()
    market_data: MarketData = MarketData()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a process is told from outside. URLs and the token are secrets: never log this object.

    The addresses of the stores stand in files that are read anew at each new connection, or in variables. The control
    token stands in a file, which is read anew when it is asked for, or in `control_token`.
    """

    component: Component
    slot: Slot
    release: str
    version: str
    pod: str
    engine: EngineConfig
    database: Address
    cache: Address
    control_token: str
    control_token_file: Path | None = None
    probe_token_file: Path | None = None
    state_dir: Path
    data_dir: Path | None
    http_host: str
    http_port: int
    control_port: int
    console_port: int
    log_level: str

    def __repr__(self) -> str:
        """Without secrets."""
        return f"Settings(component={self.component!r}, slot={self.slot!r}, release={self.release!r})"

    def current_control_token(self) -> str:
        """The token that control calls carry now; empty when there is no good one, so that none is allowed."""
        return self.control_token if self.control_token_file is None else _token(self.control_token_file)

    def current_probe_token(self) -> str:
        """The prober's token as it is now; empty when there is no good one, so that there is no prober."""
        return "" if self.probe_token_file is None else _token(self.probe_token_file)


def _token(file: Path) -> str:
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return token if len(token) >= MIN_TOKEN else ""


def load_settings(component: Component, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of `component`; raises ConfigError that names the first variable or field that is wrong."""
    env = os.environ if environ is None else environ
    needs_database = component not in ("edge", "prober")
    needs_cache = component not in ("migrations", "prober")
    data_dir = env.get("TE_DATA_DIR", "")
    token_file = env.get("TE_CONTROL_TOKEN_FILE", "")
    probe_file = env.get("TE_PROBE_TOKEN_FILE", "")
    settings = Settings(
        component=component,
        slot=_slot(env.get("TE_SLOT", "")),
        release=_release(env.get("TE_RELEASE", "")),
        version=env.get("TE_VERSION", "dev"),
        pod=env.get("TE_POD") or env.get("HOSTNAME", "") or component,
        engine=read_engine_config(env.get("TE_CONFIG", ""), must_exist="TE_CONFIG" in env),
        database=_address(env, "TE_DATABASE_URL", DATABASE_SCHEMES, needed=needs_database),
        cache=_address(env, "TE_CACHE_URL", CACHE_SCHEMES, needed=needs_cache),
        control_token=env.get("TE_CONTROL_TOKEN", ""),
        control_token_file=Path(token_file) if token_file else None,
        probe_token_file=Path(probe_file) if probe_file else None,
        state_dir=Path(env.get("TE_STATE_DIR") or DEFAULT_STATE_DIR),
        data_dir=Path(data_dir) if data_dir else None,
        http_host=env.get("TE_HTTP_HOST", "0.0.0.0"),  # noqa: S104 - a pod serves on its own address
        http_port=_port(env, "TE_HTTP_PORT", 8080),
        control_port=_port(env, "TE_CONTROL_PORT", 8081),
        console_port=_port(env, "TE_CONSOLE_PORT", 8090),
        log_level=_log_level(env.get("TE_LOG_LEVEL", "INFO")),
    )
    if component not in ("migrations", "prober") and len(settings.current_control_token()) < MIN_TOKEN:
        where = f"the file {token_file} of TE_CONTROL_TOKEN_FILE" if token_file else "TE_CONTROL_TOKEN"
        raise ConfigError(f"{where} is missing or shorter than {MIN_TOKEN} characters")
    return settings


def read_engine_config(path: str, *, must_exist: bool = True) -> EngineConfig:
    """The engine's config file; defaults when no path was set and the default path does not exist."""
    file = Path(path or DEFAULT_CONFIG)
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        if must_exist:
            raise ConfigError(f"TE_CONFIG names {file}, which does not exist") from None
        return EngineConfig()
    except OSError as error:
        raise ConfigError(f"TE_CONFIG names {file}, which cannot be read: {error.strerror}") from None
    try:
        config = msgspec.json.decode(raw, type=EngineConfig)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file}: {error}") from None
    if not config.brokers:
        raise ConfigError(f"{file}: brokers is empty: at least one broker is needed, e.g. paper")
    if config.mode == "live" and config.market_data.source != "broker":
        raise ConfigError(f"{file}: mode live needs marketData.source broker, not {config.market_data.source}")
    return config


def _slot(text: str) -> Slot:
    if text == "a":
        return "a"
    if text == "b":
        return "b"
    if text == "":
        return ""
    raise ConfigError(f"TE_SLOT is {text!r}: a, b or nothing is allowed")


def _release(text: str) -> str:
    if text and not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ConfigError(f"TE_RELEASE is {text!r}: a number of at most nine digits is needed")
    return text


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 0 <= int(text) <= 65535):
        raise ConfigError(f"{name} is {text!r}: a port from 0 to 65535 is needed")
    return int(text)


def _log_level(text: str) -> str:
    level = text.upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ConfigError(f"TE_LOG_LEVEL is {text!r}: DEBUG, INFO, WARNING or ERROR is needed")
    return level


def _address(env: Mapping[str, str], name: str, schemes: tuple[str, ...], *, needed: bool) -> Address:
    if file := env.get(f"{name}_FILE", ""):
        return Address.from_file(f"{name}_FILE", Path(file), schemes)
    text = env.get(name, "")
    if not text and needed:
        raise ConfigError(f"neither {name}_FILE nor {name} is set: a URL {schemes[0]}://... is needed")
    return Address(name, checked(name, text, schemes) if text else "")
