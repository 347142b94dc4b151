"""A terminal whose new bundle accepts the templates of the previous one."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import open_bundle
from edge.chip import PREPROCESSING
from edge.cli import gallery
from edge.config import TerminalConfig, load_config
from edge.gallery.key import load_key
from edge.gallery.store import open_store
from edge.recogniser.build import open_recogniser
from edge.recogniser.networks import open_networks
from edge.system.wallclock import WallClock
from tests.bundles import EMBEDDING

BASE, OTHER = "b" * 64, "c" * 64
ROWS = np.eye(2, EMBEDDING, dtype=np.float32)


@pytest.fixture
def config(write_config: Callable[..., Path], bundle_path: Path, tmp_path: Path) -> TerminalConfig:
    """Configuration whose gallery has templates of a listed and of another model."""
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "adapted"))
    fields = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**fields, "compatible_with": [BASE]}))
    config = load_config(write_config(bundle=str(bundle)))
    key = load_key(config.key_path, create=True)
    for model in (BASE, OTHER):
        with closing(open_store(config, model, key, allow_other_models=True)) as store:
            store.enroll("Ada", ROWS)
    return config


def test_recogniser_searches_compatible_templates(config: TerminalConfig) -> None:
    key = load_key(config.key_path, create=False)
    wall, networks = WallClock(), open_networks(config)
    recogniser = open_recogniser(config, networks, key, wall=wall, clock=time.monotonic)
    with closing(recogniser):
        assert recogniser.gallery.templates == 2
        match = recogniser.gallery.search(ROWS[0])
        assert match is not None and match.subject == "Ada"


def test_dropping_models_keeps_compatible_one(
    config: TerminalConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "terminal.yaml")
    assert gallery.main(["migrate", "--config", path, "--drop-other-models"]) == 0
    assert f"2 templates of model {OTHER[:12]} erased" in capsys.readouterr().out
    model = open_bundle(config.bundle, PREPROCESSING).model_digest
    key = load_key(config.key_path, create=False)
    with closing(open_store(config, model, key, compatible_with=[BASE])) as store:
        assert store.count_by_model() == {BASE: 2}
