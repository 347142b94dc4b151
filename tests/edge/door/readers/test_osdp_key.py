"""Key files of OSDP: only secret and unpredictable keys are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.door.readers.osdp_key import OsdpKey, load_osdp_key
from edge.errors import DoorError

KEY = "8a1f03c57be29d4460f1a7325e9cb80d"


def _write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_osdp_key_is_read_and_hidden(tmp_path: Path) -> None:
    key = load_osdp_key(_write(tmp_path / "key", KEY.upper() + "\n"))
    assert key == OsdpKey(bytes.fromhex(KEY))
    assert repr(key) == "OsdpKey(hidden)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("303132333435363738393a3b3c3d3e3f", "default key SCBK-D"),
        ("0" * 32, "equal or count"),
        ("000102030405060708090a0b0c0d0e0f", "equal or count"),
        ("00112233445566778899aabbccddeeff", "equal or count"),
        ("8a1f03c57be29d448a1f03c57be29d44", "halves are equal"),
        ("aa" * 12 + "bbccddee", "fewer than 6"),
        (KEY[:-1], "expected 32 hexadecimal"),
        (KEY + "00", "expected 32 hexadecimal"),
        ("default", "expected 32 hexadecimal"),
    ],
)
def test_osdp_weak_key_is_refused_unseen(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DoorError, match=message) as found:
        load_osdp_key(_write(tmp_path / "secret", text))
    assert text not in str(found.value)


def test_osdp_readable_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DoorError, match="mode 0640"):
        load_osdp_key(_write(tmp_path / "key", KEY, 0o640))


def test_osdp_missing_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DoorError, match="cannot be read: No such file"):
        load_osdp_key(tmp_path / "key")
