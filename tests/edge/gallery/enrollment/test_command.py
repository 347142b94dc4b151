from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import masks
from edge.audit.reader import read_log
from edge.bundle import open_bundle
from edge.chip import PREPROCESSING
from edge.cli import audit, common, gallery
from edge.cli import enroll as command
from edge.config import load_config
from edge.face.detect import FaceDetector
from edge.gallery.enrollment import photos
from edge.gallery.key import load_key
from edge.gallery.store import GalleryStore, open_store
from tests.bundles import CALIBRATION, EMBEDDING


class Terminal:
    """Enrolls people of one terminal from photos."""

    def __init__(
        self, config_path: Path, paths: dict[str, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.config_path, self.photos, self.capsys = config_path, paths, capsys
        self.stderr = ""

    def enroll(
        self, *names: str, subject: str = "Ada", options: tuple[str, ...] = (), expect: int = 0
    ) -> dict[str, Any]:
        arguments = ["--config", str(self.config_path), "--subject", subject, "--json", *options]
        code = command.main([*arguments, *(str(self.photos[name]) for name in names)])
        out, self.stderr = self.capsys.readouterr()
        assert code == expect, self.stderr
        return dict(json.loads(out.splitlines()[-1])) if out else {}

    def store(self) -> GalleryStore:
        config = load_config(self.config_path)
        model = open_bundle(config.bundle, PREPROCESSING).model_digest
        return open_store(config, model, load_key(config.key_path, create=False))

    def shown(self, subject: str = "Ada") -> dict[str, Any]:
        assert (
            gallery.main(
                ["show", "--config", str(self.config_path), "--subject", subject, "--json"]
            )
            == 0
        )
        return dict(json.loads(self.capsys.readouterr().out))


@pytest.fixture
def terminal(
    tmp_path: Path,
    write_config: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    collins: np.ndarray,
    hopper: np.ndarray,
    detector: FaceDetector,
) -> Terminal:
    worn = masks.draw(
        collins,
        masks.MaskStyle("surgical", (222, 190, 140)),
        detector.detect(collins)[0].landmarks_xy,
    )[0]
    brighter = {
        f"ada{i}": np.clip(collins * (1 + i / 25), 0, 255).astype(np.uint8) for i in range(4)
    }
    paths = {}
    for name, image in {**brighter, "grace": hopper, "masked": worn}.items():
        paths[name] = tmp_path / f"{name}.png"
        cv2.imwrite(str(paths[name]), image)
    return Terminal(write_config(), paths, capsys)


def test_enroll_prints_quality_of_each_photo(terminal: Terminal) -> None:
    result = terminal.enroll("ada0", "ada1")
    assert result["stored"] == 2 and result["before"] == 0 and result["lowest_similarity"] > 0.9
    assert [Path(photo["photo"]).name for photo in result["photos"]] == ["ada0.png", "ada1.png"]
    assert {"single_face_present", "head_pose", "sharpness", "eyes_visible"} <= set(
        result["photos"][0]["components"]
    )
    refused = terminal.enroll("ada0", "masked", expect=1)
    assert refused["stored"] == 0 and refused["refused"][0]["reason"] == "mask-worn"
    assert "eyes_visible" in refused["refused"][0]["components"] and len(refused["photos"]) == 1
    command.main(
        [
            "--config",
            str(terminal.config_path),
            "--subject",
            "Ada",
            "-v",
            "--dry-run",
            str(terminal.photos["ada0"]),
        ]
    )
    assert (
        "ada0.png: single_face_present 100, inter_eye_distance" in terminal.capsys.readouterr().err
    )


def test_enroll_outlier_photo_is_left_out(terminal: Terminal) -> None:
    result = terminal.enroll("ada0", "ada1", "grace", "ada2")
    assert result["stored"] == 3
    assert [(Path(one["photo"]).name, one["reason"]) for one in result["left_out"]] == [
        ("grace.png", "outlier-photo")
    ]
    assert "left out (outlier-photo)" in terminal.stderr and "grace.png" in terminal.stderr


def test_enroll_photo_of_other_person_refused(terminal: Terminal) -> None:
    terminal.enroll("ada0")
    assert terminal.enroll("grace", expect=1)["refused"][0]["reason"] == "different-people"
    assert terminal.enroll("grace", options=("--replace",))["before"] == 1
    assert len(terminal.shown()["templates"]) == 1
    assert (
        terminal.enroll("grace", subject="Grace", expect=1)["refused"][0]["reason"]
        == "already-enrolled"
    )


def test_enroll_same_photo_is_stored_once(terminal: Terminal) -> None:
    terminal.enroll("ada0", "ada1")
    again = terminal.enroll("ada1", "ada2")
    assert (again["stored"], again["again"], again["before"]) == (1, 1, 2)
    assert terminal.enroll("ada0", options=("--replace", "--masked-templates"))["stored"] == 2
    assert len(terminal.shown()["templates"]) == 2


def test_enroll_shortened_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    shortened = ["--group", "a", "--group", "b"]
    with pytest.raises(SystemExit, match="2"):
        command.main(["--config", "t.yaml", "--subject", "Ada", *shortened, "ada.png"])
    assert "unrecognized arguments: --group" in capsys.readouterr().err


def test_enroll_stores_attributes(terminal: Terminal) -> None:
    options = (
        "--consent",
        "form 12",
        "--valid-from",
        "2031-01-01",
        "--valid-until",
        "2031-12-31",
        "--groups",
        "staff,night",
        "--extended",
    )
    terminal.enroll("ada0", options=options)
    shown = terminal.shown()
    assert shown["rights"] == {
        "groups": ["staff", "night"],
        "valid_from": "2031-01-01",
        "valid_until": "2031-12-31",
        "extended": True,
        "max_uses": None,
        "mode": None,
        "anti_passback_exempt": False,
    }
    assert shown["consent"]["words"] == "form 12" and shown["consent"]["noted_by"]
    terminal.enroll("ada1", options=("--groups", "day"))
    changed = terminal.shown()
    assert (
        changed["rights"] == {**shown["rights"], "groups": ["day"]}
        and changed["consent"] == shown["consent"]
    )


def test_enroll_sees_face_of_other_process(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.enroll("grace", subject="Grace")  # creates the gallery
    take = photos.take_samples

    def take_slowly(*arguments: Any) -> Any:
        samples = take(*arguments)
        monkeypatch.setattr(photos, "take_samples", take)
        options = ["--config", str(terminal.config_path), "--subject", "Eve"]
        assert command.main([*options, str(terminal.photos["ada0"])]) == 0
        return samples

    monkeypatch.setattr(photos, "take_samples", take_slowly)
    terminal.enroll("ada1", expect=1)
    assert "already-enrolled" in terminal.stderr and "'Eve'" in terminal.stderr


def test_enroll_stated_as_two_people_on_record(terminal: Terminal) -> None:
    terminal.enroll("ada0", "ada1", subject="Bea")
    assert "--not-a-duplicate 'Bea'" in (terminal.enroll("ada2", expect=1) and terminal.stderr)
    twins = ("--not-a-duplicate", "Bea", "--reason", "twins, both seen")
    assert terminal.enroll("ada2", options=(*twins, "--dry-run"))["stored"] == 1
    config = load_config(terminal.config_path)
    assert not read_log(config.decisions_path)
    assert terminal.enroll("ada2", options=twins)["stored"] == 1
    (noted,) = read_log(config.decisions_path)
    assert (noted["event"], noted["subject"], noted["other"], noted["note"]) == (
        "not-a-duplicate",
        "Ada",
        "Bea",
        "twins, both seen",
    )
    (distinct,) = terminal.shown()["distinct"]
    assert (distinct["reason"], distinct["noted_by"]) == ("twins, both seen", noted["operator"])
    assert distinct["noted"] and "Bea" not in json.dumps(distinct)


def test_enroll_statement_found_by_either_name(terminal: Terminal) -> None:
    terminal.enroll("ada0", subject="Bea")
    terminal.enroll("ada1", options=("--not-a-duplicate", "Bea", "--reason", "twins"))
    show = ["--config", str(terminal.config_path), "--kind", "not-a-duplicate", "--json"]
    for name in ("Ada", "Bea"):
        assert audit.main(["show", *show, "--subject", name]) == 0
        assert json.loads(terminal.capsys.readouterr().out)["note"] == "twins"
    assert audit.main(["erase", "--config", str(terminal.config_path), "--subject", "Bea"]) == 0
    assert "decisions: 1 personal parts are erased" in terminal.capsys.readouterr().out


def test_enroll_statement_holds_afterwards(terminal: Terminal) -> None:
    """The statement holds for both people and is recorded once."""
    terminal.enroll("ada0", subject="Bea")
    twins = ("--not-a-duplicate", "Bea", "--reason", "twins")
    terminal.enroll("ada1", options=twins)
    assert terminal.enroll("ada2")["stored"] == 1
    assert terminal.enroll("ada3", subject="Bea")["stored"] == 1
    terminal.enroll("ada3", options=twins)
    assert len(terminal.shown()["distinct"]) == 1
    assert len(read_log(load_config(terminal.config_path).decisions_path)) == 1


@pytest.mark.parametrize(("name", "words"), [("Bob", "not enrolled"), ("Ada", "the same name")])
def test_enroll_statement_on_wrong_name_refused(terminal: Terminal, name: str, words: str) -> None:
    terminal.enroll("ada0", options=("--not-a-duplicate", name, "--reason", "x"), expect=2)
    assert words in terminal.stderr


def test_enroll_refusal_names_files_and_scores(terminal: Terminal) -> None:
    terminal.enroll("ada0", "grace", expect=1)
    words = f"; two photos of one person score {CALIBRATION.same_person:.2f}"
    assert re.search(rf"ada0\.png and grace\.png score -?0\.\d\d{words}", terminal.stderr)
    terminal.enroll("ada0", "ada1", "grace", expect=1)
    assert "Drop grace.png: the others agree" in terminal.stderr


def test_enroll_large_gallery_raises_threshold(terminal: Terminal) -> None:
    """A score between the model's threshold and the door's threshold for 3,000 templates."""
    threshold = CALIBRATION.unmasked.threshold
    score = threshold + 0.04
    terminal.enroll("ada0")
    with closing(terminal.store()) as store:
        ada = store.read_subjects()[0].templates[0]
        aside = np.roll(ada, 1) - np.roll(ada, 1) @ ada * ada
        store.enroll(
            "Ada",
            (score * ada + np.sqrt(1 - score**2) * aside / np.linalg.norm(aside))[None],
            replace=True,
        )
    refused = terminal.enroll("ada0", subject="Eve", expect=1)["refused"][0]
    assert refused["reason"] == "already-enrolled" and f"scores {score:.2f}" in refused["message"]
    rng = np.random.default_rng(0)
    with closing(terminal.store()) as store:
        crowd = rng.standard_normal((3000, EMBEDDING)).astype(np.float32)
        store.enroll("crowd", crowd / np.linalg.norm(crowd, axis=1, keepdims=True))
    assert terminal.enroll("ada0", subject="Eve")["stored"] == 1
    assert (
        f"for 3,002 templates (raised from {threshold:.3f}" in terminal.stderr
        and f"the model supports {CALIBRATION.gallery_size}" in terminal.stderr
    )


def test_enroll_uses_configured_threshold(
    terminal: Terminal, write_config: Callable[..., Path]
) -> None:
    terminal.enroll("ada0")
    assert (
        terminal.enroll("ada3", subject="Eve", expect=1)["refused"][0]["reason"]
        == "already-enrolled"
    )
    write_config(policy={"threshold_unmasked": 0.9999})
    assert terminal.enroll("ada3", subject="Eve")["stored"] == 1


def test_calling_account_through_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1")
    assert common.calling_account() == "daemon"
    monkeypatch.setenv("SUDO_UID", "-1")
    assert common.calling_account() == "root"
    monkeypatch.setattr("os.getuid", lambda: 1)
    monkeypatch.setenv("SUDO_UID", "0")
    assert common.calling_account() == "daemon"  # only root has SUDO_UID from sudo


def test_enroll_without_required_consent_refused(
    terminal: Terminal, write_config: Callable[..., Path]
) -> None:
    write_config(enrollment={"consent": True})
    assert terminal.enroll("ada0", expect=1)["refused"][0]["reason"] == "no-consent"
    terminal.enroll("ada0", options=("--consent", "form 12"))
    terminal.enroll("ada1")


def test_enroll_quality_may_only_be_tightened(
    terminal: Terminal, write_config: Callable[..., Path]
) -> None:
    terminal.enroll("ada0", options=("--quality", "off"), expect=2)
    assert "demands standard" in terminal.stderr
    assert (
        terminal.enroll("ada0", options=("--quality", "strict"), expect=1)["refused"][0]["reason"]
        == "too-few-photos"
    )
    assert terminal.enroll("ada0", "ada1", "ada2", options=("--quality", "strict"))["stored"] == 3
    write_config(enrollment={"quality": "strict"})
    assert terminal.enroll("ada0", expect=1)["refused"][0]["reason"] == "too-few-photos"


def test_enroll_dry_run_stores_nothing(terminal: Terminal) -> None:
    assert terminal.enroll("ada0", options=("--dry-run",))["dry_run"]
    config = load_config(terminal.config_path)
    assert not config.gallery_path.exists() and not config.key_path.exists()
    terminal.enroll("ada0")
    terminal.enroll("ada1", options=("--dry-run", "--groups", "staff"))
    shown = terminal.shown()
    assert len(shown["templates"]) == 1 and shown["rights"]["groups"] == []


def test_enroll_keeps_chips_if_configured(
    terminal: Terminal, write_config: Callable[..., Path]
) -> None:
    write_config(enrollment={"keep_chips": True})
    terminal.enroll("ada0", "ada1", options=("--masked-templates",))
    assert [one["chip_kept"] for one in terminal.shown()["templates"]] == [True, True, False, False]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bulk", "x", "--subject", "Ada"],
        ["--bulk", "x", "photo.jpg"],
        ["--bulk", "x", "--frontal-only"],
        ["--bulk", "x", "--min-photos", "0"],
        ["--subject", "Ada", "--photos", "x"],
        ["--subject", "Ada", "--valid-from", "31.12.2031"],
        ["--subject", "Ada", "--consent", " "],
        ["--subject", "Ada", "--not-a-duplicate", "Bob"],
        ["--subject", "Ada", "--reason", "twins"],
        ["--bulk", "x", "--not-a-duplicate", "Bob", "--reason", "twins"],
        [],
    ],
)
def test_enroll_conflicting_options_refused(terminal: Terminal, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--config", str(terminal.config_path), *arguments])
    assert ended.value.code == 2


def test_enroll_folder_takes_its_pictures(terminal: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "Ada"
    folder.mkdir()
    for name in ("ada0", "ada1"):
        (folder / f"{name}.png").write_bytes(terminal.photos[name].read_bytes())
    (folder / "._ada0.png").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    terminal.photos["folder"] = folder
    assert terminal.enroll("folder")["stored"] == 2


def test_enroll_copies_of_photo_count_once(terminal: Terminal, tmp_path: Path) -> None:
    """Copies of an outlier do not outvote the other photos."""
    for n in range(3):
        terminal.photos[f"copy{n}"] = tmp_path / f"copy{n}.png"
        terminal.photos[f"copy{n}"].write_bytes(terminal.photos["grace"].read_bytes())
    result = terminal.enroll("ada0", "ada1", "ada2", "copy0", "copy1", "copy2")
    assert result["stored"] == 3
    assert [(Path(one["photo"]).name, one["reason"]) for one in result["left_out"]] == [
        ("copy1.png", "same-photo"),
        ("copy2.png", "same-photo"),
        ("copy0.png", "outlier-photo"),
    ]


def test_enroll_refused_photo_says_nothing_stored(terminal: Terminal) -> None:
    terminal.enroll("ada0", "masked", expect=1)
    assert (
        "nothing was stored: 1 of 2 photos can be used; replace the others, or" in terminal.stderr
    )
    terminal.enroll("ada0", "grace", expect=1)
    assert terminal.stderr.endswith("edge-enroll: nothing was stored\n")


def test_enroll_file_as_subject_refused(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name was forgotten; without photos the camera would be used."""
    monkeypatch.chdir(tmp_path)
    terminal.enroll(subject="ada0.png", expect=2)
    assert "--subject ada0.png: expected the person's name, found a file" in terminal.stderr
