"""Settings and the engine's config file."""

import json
from pathlib import Path

import pytest
from tradingengine.config import load_settings, read_engine_config
from tradingengine.domain.risk import Limits
from tradingengine.errors import ConfigError

pytestmark = pytest.mark.unit

GOOD = {
    "TE_DATABASE_URL": "postgresql://te:pw-secret@db:5432/te",
    "TE_CACHE_URL": "redis://:pw-secret@cache:6379/0",
    "TE_CONTROL_TOKEN": "t" * 20,
}


def test_what_is_not_set_has_its_default() -> None:
    settings = load_settings("api", GOOD)
    assert (settings.http_port, settings.control_port, settings.console_port) == (8080, 8081, 8090)
    assert (settings.slot, settings.release, settings.log_level, settings.pod) == ("", "", "INFO", "api")
    assert settings.engine.mode == "paper"
    assert settings.data_dir is None
    assert "secret" not in repr(settings)


def test_what_is_set_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    content = {
        "engine": "desk", "mode": "paper", "segments": ["NSE_EQ", "NSE_FO"], "brokers": [{"name": "paper"}],
        "risk": {"dailyLoss": 5, "cash": {"order": 1, "position": 2}},
        "marketData": {"source": "replay", "replay": {"claimName": "ticks", "from": "2021-06-09", "speed": 4}},
        "fromTheNextVersion": {"x": 1},
    }  # fmt: skip
    file.write_text(json.dumps(content))
    more = {"TE_CONFIG": str(file), "TE_SLOT": "b", "TE_RELEASE": "12", "TE_HTTP_PORT": "0", "TE_DATA_DIR": "/data"}
    settings = load_settings("dashboard", {**GOOD, **more})
    assert (settings.slot, settings.release, settings.http_port) == ("b", "12", 0)
    assert settings.data_dir == Path("/data")
    assert settings.engine.segments == ("NSE_EQ", "NSE_FO")
    assert settings.engine.risk.daily_loss == 5
    assert settings.engine.risk.limits() == Limits(
        order_paise=100, position_paise=200, daily_loss_paise=500, orders_per_second=9
    )
    assert settings.engine.market_data.replay.start == "2021-06-09"


def test_a_component_needs_only_what_it_uses() -> None:
    edge = load_settings("edge", {key: GOOD[key] for key in ("TE_CACHE_URL", "TE_CONTROL_TOKEN")})
    assert not edge.database
    assert not load_settings("migrations", {"TE_DATABASE_URL": GOOD["TE_DATABASE_URL"]}).cache


def test_a_control_token_in_a_file_is_always_the_current_one(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first-token-of-the-secret")
    settings = load_settings("edge", {**GOOD, "TE_CONTROL_TOKEN_FILE": str(file)})
    assert settings.current_control_token() == "first-token-of-the-secret"
    file.write_text("other-token-of-the-secret\n")
    assert settings.current_control_token() == "other-token-of-the-secret"
    file.write_text("short")
    assert settings.current_control_token() == "", "none is allowed"
    file.unlink()
    assert settings.current_control_token() == ""


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"TE_CONTROL_TOKEN_FILE": "/nowhere/token"}, "TE_CONTROL_TOKEN_FILE"),
        ({"TE_DATABASE_URL": ""}, "TE_DATABASE_URL"),
        ({"TE_DATABASE_URL": "mysql://u:pw-secret@h/x"}, "TE_DATABASE_URL"),
        ({"TE_CACHE_URL": "redis://"}, "TE_CACHE_URL"),
        ({"TE_CONTROL_TOKEN": "short"}, "TE_CONTROL_TOKEN"),
        ({"TE_SLOT": "c"}, "TE_SLOT"),
        ({"TE_RELEASE": "v1"}, "TE_RELEASE"),
        ({"TE_HTTP_PORT": "70000"}, "TE_HTTP_PORT"),
        ({"TE_CONTROL_PORT": "x"}, "TE_CONTROL_PORT"),
        ({"TE_LOG_LEVEL": "loud"}, "TE_LOG_LEVEL"),
        ({"TE_CONFIG": "/nowhere/config.json"}, "TE_CONFIG"),
    ],
)
def test_what_is_wrong_is_named_without_secrets(change: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings("api", {**GOOD, **change})
    assert named in refused.value.detail
    assert "pw-secret" not in refused.value.detail


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "config.json"),
        ('{"mode": "demo"}', "mode"),
        ('{"brokers": []}', "brokers"),
        ('{"mode": "live"}', "marketData.source"),
        ('{"risk": {"cash": {"order": "many"}}}', "risk.cash.order"),
    ],
)
def test_a_wrong_file_is_named_with_its_field(tmp_path: Path, content: str, named: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match=named):
        read_engine_config(str(file))


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_engine_config(str(tmp_path))
