from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, time, timezone
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edge.access.schedule import ScheduledMode, build_schedule
from edge.config import load_config
from edge.config.schedule import ScheduleConfig, parse_days
from edge.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")


def window(
    config: Mapping[str, object],
    local: str,
    zone: ZoneInfo = BERLIN,
    *,
    clock_trusted: bool = True,
    fold: int = 0,
) -> ScheduledMode:
    moment = datetime.fromisoformat(local).replace(tzinfo=zone, fold=fold).astimezone(timezone.utc)
    return build_schedule(
        ScheduleConfig.model_validate({"time_zone": str(BERLIN), **config})
    ).mode_at(moment, clock_trusted=clock_trusted)


OFFICE: dict[str, list[Any]] = {
    "spans": [
        {"days": ["mon-fri"], "begin": "08:00", "end": "17:30", "mode": "open"},
        {"days": ["sat", "sun", "holiday"], "begin": "00:00", "end": "00:00", "mode": "locked"},
        {"days": ["fri"], "begin": "22:00", "end": "06:00", "mode": "locked"},
    ],
    "holidays": ["2026-12-25"],
}


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("2026-11-23T07:59:59", ScheduledMode.NORMAL),  # a Monday
        ("2026-11-23T08:00:00", ScheduledMode.OPEN),
        ("2026-11-23T17:29:59", ScheduledMode.OPEN),
        ("2026-11-23T17:30:00", ScheduledMode.NORMAL),
        ("2026-11-27T23:00:00", ScheduledMode.LOCKED),  # from Friday night
        ("2026-11-28T12:00:00", ScheduledMode.LOCKED),  # all of Saturday
        ("2026-11-30T00:00:00", ScheduledMode.NORMAL),
        ("2026-12-25T12:00:00", ScheduledMode.LOCKED),  # a Friday and a holiday
        ("2026-12-25T23:00:00", ScheduledMode.LOCKED),
    ],
)
def test_the_clock_on_the_wall_decides(local: str, expected: ScheduledMode) -> None:
    assert window(OFFICE, local) is expected


def test_schedule_implausible_clock_never_opens() -> None:
    assert window(OFFICE, "2026-11-23T09:00:00", clock_trusted=False) is ScheduledMode.NORMAL
    assert (
        window(OFFICE, "2026-11-28T12:00:00", clock_trusted=False) is ScheduledMode.LOCKED
    )  # the restrictive one


def test_schedule_overlap_takes_restrictive_mode() -> None:
    both = {
        "spans": [
            {"days": ["mon"], "begin": "08:00", "end": "18:00", "mode": mode}
            for mode in ("open", "locked")
        ]
    }
    assert window(both, "2026-11-23T09:00:00") is ScheduledMode.LOCKED


@pytest.mark.parametrize("fold", [0, 1])
def test_schedule_repeated_hour_counts_twice(fold: int) -> None:
    """Clocks go back from 3 to 2 on 25 October 2026: half past two occurs twice."""
    night = {"spans": [{"days": ["sun"], "begin": "02:15", "end": "02:45", "mode": "open"}]}
    assert window(night, "2026-10-25T02:30:00", fold=fold) is ScheduledMode.OPEN


def test_an_hour_that_is_skipped_is_in_no_window() -> None:
    """Clocks go forward from 2 to 3 on 29 March 2026."""
    night = build_schedule(
        ScheduleConfig.model_validate(
            {
                "time_zone": str(BERLIN),
                "spans": [{"days": ["sun"], "begin": "02:00", "end": "03:00", "mode": "open"}],
            }
        )
    )
    for minute in range(180):
        moment = datetime(2026, 3, 29, 0, 0, tzinfo=timezone.utc).replace(
            hour=minute // 60, minute=minute % 60
        )
        assert night.mode_at(moment, clock_trusted=True) is ScheduledMode.NORMAL


def test_days_are_names_and_ranges() -> None:
    assert parse_days(["mon-wed", "holiday"]) == {"mon", "tue", "wed", "holiday"}
    for wrong in ("monday", "fri-mon", "mon-", ""):
        with pytest.raises(ValueError, match="expected days such as"):
            parse_days([wrong])


@pytest.mark.parametrize(
    ("schedule", "part"),
    [
        ({"time_zone": "Mars/Olympus"}, "no such time zone"),
        (
            {"spans": [{"days": ["funday"], "begin": "08:00", "end": "09:00", "mode": "open"}]},
            "expected days such as",
        ),
        ({"spans": [{"days": ["mon"], "begin": "25:00", "end": "09:00", "mode": "open"}]}, "begin"),
        ({"spans": [{"days": ["mon"], "begin": "08:00", "end": "09:00", "mode": "ajar"}]}, "mode"),
        ({"time_zone": "Europe"}, "no such time zone"),  # a folder of time zones
        ({"time_zone": ""}, "no such time zone"),
        (
            {"spans": [{"days": ["mon"], "begin": "08:00", "end": 1050, "mode": "open"}]},
            r'such as "17:30", found 1050',
        ),
        (
            {"spans": [{"days": ["mon"], "begin": "08:00Z", "end": "09:00", "mode": "open"}]},
            "begin .*: expected hours and minutes",
        ),
        (
            {"spans": [{"days": ["mon"], "begin": 28800, "end": "09:00", "mode": "open"}]},
            "begin .*: expected hours and minutes",
        ),
    ],
)
def test_a_wrong_schedule_is_one_sentence(
    schedule: dict[str, object], part: str, write_config: Callable[..., Path]
) -> None:
    with pytest.raises(ConfigError, match=part):
        load_config(write_config(door={"schedule": schedule}))


def test_time_without_quotes_is_no_number(write_config: Callable[..., Path]) -> None:
    """YAML 1.1 reads the time as the number 1050."""
    path = write_config()
    spans = '[{days: [mon], begin: "08:00", end: 17:30, mode: open}]'
    path.write_text(path.read_text() + f"door: {{schedule: {{spans: {spans}}}}}\n")
    (span,) = load_config(path).door.schedule.spans
    assert (span.begin, span.end) == (time(8), time(17, 30))


@pytest.mark.parametrize(
    ("spans", "strictest"),
    [(OFFICE["spans"], ScheduledMode.LOCKED), (OFFICE["spans"][:1], ScheduledMode.NORMAL)],
)
def test_schedule_unknown_time_is_strictest(
    spans: list[dict[str, object]], strictest: ScheduledMode
) -> None:
    assert build_schedule(ScheduleConfig.model_validate({"spans": spans})).strictest is strictest


@pytest.mark.parametrize(
    ("tz", "name"),
    [
        ("America/Los_Angeles", "America/Los_Angeles"),
        (":Asia/Tokyo", "Asia/Tokyo"),
        ("Mars/Olympus", "UTC"),
    ],
)
def test_schedule_without_zone_takes_machines(
    tz: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", tz)
    assert ScheduleConfig().zone.key == name
    assert ScheduleConfig(time_zone="Europe/Berlin").zone == BERLIN


def test_schedule_zone_reads_localtime_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with resources.files("tzdata.zoneinfo.Asia").joinpath("Tokyo").open("rb") as file:
        (tmp_path / "localtime").write_bytes(file.read())
    monkeypatch.setenv("TZ", str(tmp_path / "localtime"))
    noon = datetime(2031, 1, 1, 12, tzinfo=timezone.utc)
    assert noon.astimezone(ScheduleConfig().zone).hour == 21
