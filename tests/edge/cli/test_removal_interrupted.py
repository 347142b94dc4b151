"""Removal from gallery and door that ends in between: the next nightly erasure finishes it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from edge.cli import gallery_people
from edge.cli.gallery import main
from edge.config import TerminalConfig, load_config
from edge.door.credential_editor import edit_credentials
from edge.door.credentials_file import CredentialDocument, read_document
from edge.errors import GalleryError
from edge.subject import SubjectRecord
from tests.bundles import EMBEDDING
from tests.edge.cli.test_gallery import opened

TEMPLATES = np.eye(2, EMBEDDING, dtype=np.float32)


@pytest.fixture
def config(write_config: Callable[..., Path], bundle_path: Path) -> TerminalConfig:
    return load_config(write_config(bundle=str(bundle_path)))


@pytest.fixture
def expire(config: TerminalConfig, tmp_path: Path) -> Callable[[], int]:
    """Interrupt the erasure of Ada before a recogniser confirms it; Ben has a card only."""
    with closing(opened(config)) as store:
        store.enroll("Ada", TEMPLATES, record=SubjectRecord(erase_on=date(2020, 1, 1)))
    with edit_credentials(config.people_path, config.people_key_path) as editor:
        editor.set_person("Ada", {"groups": ("staff",)})
        editor.set_person("Ben", {"valid_until": date(2020, 1, 1)})
    given = ["expire", "--config", str(tmp_path / "terminal.yaml")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery_people, "confirm", _refuse)
        assert main(given) == 1
    return lambda: main(given)


def _refuse(*arguments: object) -> None:
    raise GalleryError("not confirmed")


def at_door(config: TerminalConfig) -> CredentialDocument:
    return read_document(config.people_path, config.people_key_path)


def names(config: TerminalConfig) -> set[str]:
    return {person.name for person in at_door(config).people}


def test_expire_finishes_interrupted_removal(
    expire: Callable[[], int], config: TerminalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert names(config) == {"Ada", "Ben"} and at_door(config).leaving == ("Ada",)
    capsys.readouterr()
    assert expire() == 0
    output = capsys.readouterr().out
    assert "1 person of an interrupted removal: finished" in output and "Ada" not in output
    assert names(config) == {"Ben"} and at_door(config).leaving == ()
    assert expire() == 0 and "no expired people" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["enroll", "set", "remove and set"])
def test_interrupted_removal_keeps_who_returned(
    expire: Callable[[], int], config: TerminalConfig, change: str
) -> None:
    """An operator enrolled the person again, or gave the person a card only."""
    if change == "enroll":
        with closing(opened(config)) as store:
            store.enroll("Ada", TEMPLATES)
    else:
        with edit_credentials(config.people_path, config.people_key_path) as editor:
            if change != "set":
                editor.remove_person("Ada")
            editor.set_person("Ada", {"groups": ("staff",)})  # equal to the entry before
    assert expire() == 0
    assert names(config) == {"Ada", "Ben"} and at_door(config).leaving == ()


def test_interrupted_removal_waits_for_zones(
    expire: Callable[[], int], config: TerminalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config.zones_path.write_text("{}")
    assert expire() == 1 and "start edge-door" in capsys.readouterr().err
    assert names(config) == {"Ben"} and at_door(config).leaving == ("Ada",)
    config.zones_path.unlink()
    assert expire() == 0 and at_door(config).leaving == ()
