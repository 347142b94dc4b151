"""Configuration of OSDP readers: no key, no install mode, no default key in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.config.osdp import OsdpReaderConfig
from edge.parsing import parse_json

KEY = "8a1f03c57be29d4460f1a7325e9cb80d"
LINE = {"kind": "osdp", "name": "entry", "device": "/dev/ttyUSB0", "key_file": "/etc/key"}


def test_osdp_config_is_complete_with_defaults() -> None:
    config = parse_json(OsdpReaderConfig, json.dumps(LINE).encode())
    assert (config.baud_rate, config.address) == (9600, 0)
    assert config.key_file == Path("/etc/key")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("key", KEY),
        ("scbk", KEY),
        ("install_mode", True),
        ("secure_channel", False),
        ("baud_rate", 1200),
        ("address", 127),
        ("key_file", None),
    ],
)
def test_osdp_config_has_no_unsafe_keys(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key) as found:
        parse_json(OsdpReaderConfig, json.dumps({**LINE, key: value}).encode())
    assert KEY not in str(found.value)
