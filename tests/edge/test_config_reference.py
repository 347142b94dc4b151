"""docs/configuration.md and systemd/terminal.yaml are generated from the models."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from edge.cli import doctor
from edge.config import TerminalConfig, load_config, reference
from edge.config.restart import restart_keys
from edge.validation_messages import section_models

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("docs/configuration.md", reference.build_markdown()),
        ("systemd/terminal.yaml", reference.build_sample()),
    ],
)
def test_reference_page_is_current(page: str, text: str) -> None:
    assert (ROOT / page).read_text(encoding="utf-8") == text, "run: make docs-generate"


def test_reference_fields_are_described() -> None:
    models, missing = [TerminalConfig], []
    while models:
        model = models.pop()
        assert model.__doc__, model
        for name, field in model.model_fields.items():
            models += section_models(field.annotation)
            if name != "kind" and not (field.title and field.description):
                missing.append(f"{model.__name__}.{name}")
    assert missing == []


def test_schema_accepts_the_sample(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    document = yaml.safe_load((ROOT / "systemd" / "terminal.yaml").read_text())
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "votes": 3}, schema)


def test_schema_yaml_is_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["schema", "--format", "yaml"]) == 0
    path = tmp_path / "terminal.yaml"
    path.write_text(capsys.readouterr().out)
    assert load_config(path).terminal == "lobby-1"


def test_doctor_without_config_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        doctor.main([])
    assert "--config is required" in capsys.readouterr().err


def test_restart_keys_are_known() -> None:
    assert "camera" in restart_keys("recogniser")
    assert "detector.input_size" in restart_keys("recogniser")
    assert "door.relay" in restart_keys("door")
    assert "camera" not in restart_keys("door")
