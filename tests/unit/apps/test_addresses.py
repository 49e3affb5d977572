"""Addresses of stores: what is used while a file is changed, spoiled and mended."""

import logging
from pathlib import Path

import pytest
from tradingengine.addresses import HOLD_OFF_SECONDS, READ_SECONDS, Address
from tradingengine.config import load_settings
from tradingengine.errors import ConfigError

pytestmark = pytest.mark.unit

OLD, NEW = "redis://te:old-secret@cache:6379/0", "redis://te:new-secret@cache:6379/0"


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "uri"
    made.write_text(OLD + "\n")
    return made


@pytest.fixture
def address(file: Path, clock: Clock) -> Address:
    return Address("TE_CACHE_URL_FILE", OLD, schemes=("redis",), file=file, clock=clock)


def changed(file: Path, text: str, clock: Clock) -> None:
    file.write_text(text)
    clock.now += READ_SECONDS


def test_a_changed_address_is_tried_before_the_old_one_is_given_up(address: Address, file: Path, clock: Clock) -> None:
    assert address.candidates() == [OLD]
    address.works(OLD)
    changed(file, NEW, clock)
    assert address.wants_trial()
    assert address.candidates() == [OLD, NEW], "the old one goes on, and is left when it is refused"
    address.works(NEW)
    assert not address.wants_trial()
    assert (address.candidates(), address.working) == ([NEW], NEW)


def test_one_that_does_not_work_is_tried_again_after_a_while(
    address: Address, file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    address.works(OLD)
    changed(file, NEW, clock)
    for _ in range(3):
        address.fails(NEW, OSError("refused"))
        assert not address.wants_trial()
        clock.now += HOLD_OFF_SECONDS
        assert address.wants_trial()
    assert address.working == OLD
    assert [record.levelname for record in caplog.records] == ["WARNING"], "said once"
    assert "secret" not in caplog.text + repr(address) + str(address)


@pytest.mark.parametrize("spoiled", ["", "postgresql://te:new-secret@db/te", "redis://[half", "\0"])
def test_a_spoiled_file_leaves_the_last_good_address(
    address: Address, file: Path, clock: Clock, caplog: pytest.LogCaptureFixture, spoiled: str
) -> None:
    address.works(OLD)
    for _ in range(2):
        changed(file, spoiled, clock)
        assert address.candidates() == [OLD]
    file.unlink()
    clock.now += READ_SECONDS
    assert address.candidates() == [OLD]
    assert len(caplog.records) == 1
    changed(file, NEW, clock)
    assert address.written() == NEW
    assert "secret" not in caplog.text


def test_an_address_without_a_file_never_changes(clock: Clock) -> None:
    address = Address("TE_CACHE_URL", OLD, clock=clock)
    clock.now += 100
    assert (address.changes, address.written()) == (False, OLD)
    assert Address.of(address) is address
    assert Address.of(OLD).candidates() == [OLD]


def test_settings_take_a_file_before_a_variable(file: Path) -> None:
    env = {"TE_CACHE_URL_FILE": str(file), "TE_CACHE_URL": NEW, "TE_CONTROL_TOKEN": "t" * 20}
    settings = load_settings("edge", env)
    assert (settings.cache.written(), settings.cache.changes) == (OLD, True)


def test_a_start_without_a_good_file_is_refused(file: Path) -> None:
    for text in (None, "http://te:new-secret@cache", ""):
        file.unlink() if text is None else file.write_text(text)
        with pytest.raises(ConfigError) as refused:
            load_settings("edge", {"TE_CACHE_URL_FILE": str(file), "TE_CONTROL_TOKEN": "t" * 20})
        assert "TE_CACHE_URL_FILE" in refused.value.detail
        assert "secret" not in refused.value.detail
