from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge.audit.writer import AuditLogWriter
from edge.bundle import open_bundle
from edge.chip import PREPROCESSING
from edge.cli import audit, gallery
from edge.config import TerminalConfig, load_config
from edge.gallery.key import load_key
from edge.gallery.store import GalleryStore, open_store
from edge.ops.check_result import OK, WARNING, CheckResult
from edge.ops.doctor import examine
from edge.subject import PersonRights, SubjectRecord
from tests.bundles import CALIBRATION, EMBEDDING


def opened(config: TerminalConfig) -> GalleryStore:
    model = open_bundle(config.bundle, PREPROCESSING).model_digest
    return open_store(config, model, load_key(config.key_path, create=True))


def found(config: TerminalConfig, subject: str) -> CheckResult:
    (finding,) = [each for each in examine(config) if each.subject == subject]
    return finding


def test_doctor_thresholds_follow_gallery_size(config: TerminalConfig) -> None:
    size, threshold = CALIBRATION.gallery_size, CALIBRATION.unmasked.threshold
    empty = found(config, "thresholds")
    assert empty.level == OK and "for 0 templates" in empty.message
    rows = np.random.default_rng(0).standard_normal((size + 1, EMBEDDING)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with closing(opened(config)) as store:
        store.enroll("Ada", rows[:size])
    supported = found(config, "thresholds")
    assert (
        supported.level == OK
        and f"for {size} templates" in supported.message
        and "raised" not in supported.message
    )
    with closing(opened(config)) as store:
        store.enroll(
            "Bob", rows[size:]
        )  # two subjects, and one template more than the model supports
    beyond = found(config, "thresholds")
    assert (
        beyond.level == WARNING
        and f"for {size + 1} templates (raised from {threshold:.3f}" in beyond.message
    )
    assert f"the model supports {size}" in beyond.message
    assert (
        found(config, "gallery").message
        == f"2 subjects, {size + 1} templates, readable with the key"
    )


def test_thresholds_have_one_wording(
    config: TerminalConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(opened(config)) as store:
        store.enroll("Ada", np.eye(3, EMBEDDING, dtype=np.float32))
    words = found(config, "thresholds").message
    for command in ("list", "stats"):
        assert gallery.main([command, "--config", str(tmp_path / "terminal.yaml")]) == 0
        assert words in capsys.readouterr().out


def test_doctor_warns_of_research_weights(config: TerminalConfig) -> None:
    use = found(config, "use")
    assert use.level == WARNING and "research only, because of embedder.onnx; CelebA" in use.message


def test_doctor_compatible_gallery_opens(
    write_config: Callable[..., Path], bundle_path: Path, tmp_path: Path
) -> None:
    base = "b" * 64
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "adapted"))
    fields = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**fields, "compatible_with": [base]}))
    config = load_config(write_config(bundle=str(bundle)))
    with closing(open_store(config, base, load_key(config.key_path, create=True))) as store:
        store.enroll("Ada", np.eye(2, EMBEDDING, dtype=np.float32))
    assert found(config, "gallery").message.startswith("1 subject, 2 templates")
    assert "accepts templates of model bbbbbbbbbbbb" in found(config, "bundle").message


def test_doctor_low_threshold_is_an_error(write_config: Callable[..., Path]) -> None:
    config = load_config(write_config(policy={"threshold_unmasked": 0.2}))
    assert any("it can only be raised" in finding.message for finding in examine(config))


@pytest.mark.parametrize(
    ("challenge", "named"),
    [("never", "layers: motion, screen;"), ("always", "motion, screen, challenge (always);")],
)
def test_doctor_names_liveness_layers(
    write_config: Callable[..., Path], challenge: str, named: str
) -> None:
    config = load_config(write_config(liveness={"kind": "layers", "challenge": challenge}))
    assert named in found(config, "liveness").message


def test_doctor_two_of_one_name_are_reported(config: TerminalConfig) -> None:
    rows = np.eye(2, EMBEDDING, dtype=np.float32)
    with closing(opened(config)) as store:
        store.enroll("Ada", rows[:1])
        store.enroll("Ada (2)", rows[1:])
    (warned,) = [each for each in examine(config) if "'Ada (2)'" in each.message]
    assert warned.level == WARNING and "edge-gallery remove" in warned.message


def test_doctor_reports_unmoved_rights(config: TerminalConfig) -> None:
    record = SubjectRecord(unmoved_rights=PersonRights(("staff",)))
    with closing(opened(config)) as store:
        store.enroll("Ada", np.eye(1, EMBEDDING, dtype=np.float32), record=record)
    (warned,) = [each for each in examine(config) if "move-rights" in each.message]
    assert warned.level == WARNING and "rights of 1 person are not at the door" in warned.message


def test_doctor_names_the_time_zone(
    config: TerminalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert "Asia/Tokyo, the time zone of this machine" in found(config, "time zone").message


def test_doctor_keys_unset_warns_once(config: TerminalConfig) -> None:
    before = found(config, "record")
    for folder in (config.decisions_path, config.door_record_path):
        AuditLogWriter(folder).close()
    assert found(config, "record") == before and before.level == WARNING
    assert (
        "set `record.verification_key_dir`" in before.message
        and "edge-audit init as root" in before.message
    )


def test_doctor_audit_init_keys_set_ends_warning(
    write_config: Callable[..., Path], bundle_path: Path
) -> None:
    path = write_config(bundle=str(bundle_path), record={"verification_key_dir": "keys"})
    config = load_config(path)
    AuditLogWriter(config.decisions_path).close()
    assert {each.level for each in examine(config) if each.subject == "record"} == {WARNING}
    assert audit.main(["init", "--config", str(path)]) == 0
    assert {each.level for each in examine(config) if each.subject == "record"} == {OK}


def test_doctor_warns_of_unnamed_recogniser(write_config: Callable[..., Path]) -> None:
    config = load_config(write_config())
    assert not list(examine(config, ["instance"]))
    (config.state / "instances" / "lane2").mkdir(parents=True)
    (warned,) = examine(config, ["instance"])
    assert warned.level == WARNING and "no `instance`, but others have: lane2" in warned.message
    (named,) = examine(config.model_copy(update={"instance": "lane1"}), ["instance"])
    assert named.level == OK
