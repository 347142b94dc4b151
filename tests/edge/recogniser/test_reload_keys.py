"""Configuration keys after SIGHUP: applied by recogniser and door, or refused by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from edge.config import TerminalConfig, load_config
from edge.config.restart import check_unchanged, restart_keys
from edge.door.settings import build_settings
from edge.errors import ConfigError
from edge.recogniser.build import RecogniserSettings, build_recogniser_settings
from edge.recogniser.networks import TerminalNetworks, open_networks
from edge.system.wallclock import WallClock

# Another value than the default of each key that a running recogniser takes over.
RECOGNISER: dict[str, Any] = {
    "policy.min_votes": 4,
    "policy.min_votes_masked": 6,
    "policy.window_s": 2.0,
    "policy.min_agreement": 0.7,
    "policy.decision_timeout_s": 9.0,
    "policy.margin": 0.1,
    "policy.cooldown_s": 5.0,
    "policy.mask": "require",
    "policy.uncertainty_band": 0.2,
    "policy.one_at_a_time": True,
    "policy.max_unknown_per_minute": 5,
    "policy.min_expected_similarity": 0.99,
    "policy.threshold_unmasked": 0.99,
    "policy.threshold_masked": 0.99,
    "detector.search_interval_s": 0.4,
    "detector.min_face_px": 80,
    "detector.zone": [0.0, 0.0, 0.5, 1.0],
    "detector.nearest_only": True,
    "detector.max_faces_per_frame": 1,
}
DOOR: dict[str, Any] = {
    "door.pulse_s": 4.0,
    "door.extended_pulse_s": 11.0,
    "door.rex_pulse_s": 4.0,
    "door.held_open_s": 31.0,
    "door.max_grant_unlock_s": 121.0,
    "door.relock": "on_open",
    "door.alarm_on_duress": True,
    "door.clients": ["nobody"],
    "door.operators": ["nobody"],
    "record.on_write_failure": "open",
    "record.delete_after_days": 9,
    "record.redact_after_days": 8,
    "door.schedule.time_zone": "Asia/Tokyo",
    "door.schedule.holidays": ["2031-12-25"],
    "door.schedule.spans": [{"days": ["mon"], "begin": "08:00", "end": "09:00", "mode": "locked"}],
}
# Read from the configuration at each use, or by commands alone.
OTHERS = {
    "console",  # of a process of its own
    "extends",
    "gallery.unreadable_s",
    "gallery.confirm_s",
    "record.max_pictures",
    "record.delete_pictures_after_days",
    "record.verification_key_dir",
    "enrollment.quality",
    "enrollment.consent",
    "enrollment.keep_chips",
    "enrollment.erase_after_days",
}


def keys_of(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """Return the dotted keys of a section, with inner sections; a union is one key."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys_of(inner, f"{before}{name}.")
        else:
            yield f"{before}{name}"


def is_fixed(key: str, fixed: Collection[str]) -> bool:
    return any(f"{key}.".startswith(f"{one}.") for one in fixed)


def nested(key: str, value: Any) -> dict[str, Any]:
    first, _, rest = key.partition(".")
    return {first: nested(rest, value) if rest else value}


def found_in(settings: RecogniserSettings) -> object:
    """Return the comparable part of the settings, without layers."""
    pipeline = settings.pipeline
    return pipeline.rules, pipeline.face_filter, pipeline.max_unknown_per_minute


@pytest.fixture(scope="module")
def networks(
    bundle_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TerminalNetworks]:
    path = tmp_path_factory.mktemp("terminal") / "terminal.yaml"
    path.write_text(
        f"bundle: {bundle_path}\ncamera: {{kind: replay, path: clip}}\nliveness: {{kind: none}}\n"
    )
    opened = open_networks(load_config(path))
    yield opened
    opened.close()


def test_reload_keys_are_all_considered() -> None:
    fixed = restart_keys("recogniser") + restart_keys("door")
    unknown = [
        key
        for key in keys_of(TerminalConfig)
        if not (is_fixed(key, fixed) or key in RECOGNISER or key in DOOR or is_fixed(key, OTHERS))
    ]
    assert unknown == []


@pytest.mark.parametrize("key", RECOGNISER)
def test_reload_key_reaches_the_recogniser(
    key: str, write_config: Callable[..., Path], networks: TerminalNetworks
) -> None:
    before = load_config(write_config())
    after = load_config(write_config(**nested(key, RECOGNISER[key])))
    check_unchanged(before, after, "recogniser")
    old, new = (
        build_recogniser_settings(config, networks, None, WallClock()) for config in (before, after)
    )
    assert found_in(old) != found_in(new)


@pytest.mark.parametrize("key", DOOR)
def test_reload_key_reaches_the_door(key: str, write_config: Callable[..., Path]) -> None:
    before = load_config(write_config())
    after = load_config(write_config(**nested(key, DOOR[key])))
    check_unchanged(before, after, "door")
    assert build_settings(before) != build_settings(after)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("liveness", {"kind": "layers"}),
        ("camera", {"kind": "replay", "path": "other"}),
        ("engine", {"kind": "ort", "threads": 2}),
        ("detector.min_score", 0.8),
        ("detector.input_size", "320x256"),
        ("terminal", "other"),
        ("state", "elsewhere"),
        ("key", "other.key"),
    ],
)
def test_reload_key_fixed_is_refused_by_name(
    key: str, value: Any, write_config: Callable[..., Path]
) -> None:
    before = load_config(write_config())
    after = load_config(write_config(**nested(key, value)))
    with pytest.raises(ConfigError, match=f"^{key}"):
        check_unchanged(before, after, "recogniser")
