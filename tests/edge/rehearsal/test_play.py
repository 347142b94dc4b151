from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cli import rehearse as command
from edge.config import TerminalConfig
from edge.config.policy import PolicyConfig
from edge.errors import CameraError, PhotoError
from edge.gallery.enrollment.photos import QualityRequirements, take_sample
from edge.gallery.key import load_key_and_drop_privileges
from edge.gallery.store import open_store
from edge.recogniser.networks import open_networks
from edge.rehearsal import adversarial, page, tables
from edge.rehearsal.clips import Clip, ClipFrame, ExpectedGrants, recorded_clip
from edge.rehearsal.play import enroll_in_memory, rehearse
from edge.rehearsal.results import FaceDecision, RehearsalResult

ADA, BOB = "Ada", "Bob"
SEEN = FaceDecision(
    at_s=0.0,
    frame=0,
    track=1,
    verdict="pending",
    reason="insufficient-votes",
    usable=True,
    embedded=True,
    subject=ADA,
    score=0.9,
    threshold=0.6,
    mask_worn=0.0,
    votes=1,
    liveness={},
    weight=1.0,
    box_xyxy=(10.0, 10.0, 60.0, 60.0),
    person=None,
)


def at(frame: int, **changes: object) -> FaceDecision:
    return replace(SEEN, frame=frame, at_s=frame / 10, **changes)  # type: ignore[arg-type]


def granted(frame: int, **changes: object) -> FaceDecision:
    return at(frame, verdict="grant", reason="match", **changes)


def too_small(frame: int, track: int = 1) -> FaceDecision:
    nothing = {"subject": None, "score": None, "threshold": None, "mask_worn": None, "weight": None}
    return at(
        frame,
        track=track,
        verdict="refused",
        reason="too-small",
        usable=False,
        embedded=False,
        **nothing,
    )


def came_to(
    *moments: FaceDecision, expected: ExpectedGrants = ExpectedGrants(must=frozenset({ADA}))
) -> RehearsalResult:
    clip = Clip("clip", "a clip", 10.0, lambda: iter(()), expected)
    return RehearsalResult(
        clip, expected, 1 + max((m.frame for m in moments), default=0), tuple(moments), {}, ()
    )


def test_decision_time_from_first_usable_frame() -> None:
    result = came_to(
        too_small(0),
        too_small(1),
        at(2),
        at(3, embedded=False, reason="skipped"),
        at(4),
        granted(5),
        at(6),
    )
    assert result.main_track is not None and result.main_track.decided_after_s == 0.3
    assert result.main_track.frames_used == 3 and result.passed and result.decision == "grant: Ada"


def test_main_track_is_first_granted_or_best_seen() -> None:
    stranger = [
        at(i, track=2, verdict="unknown", reason="below-threshold", subject=None) for i in range(9)
    ]
    both = came_to(*stranger, granted(7, track=3), granted(4, track=1))
    assert both.main_track is not None and both.main_track.track == 1
    assert len(both.tracks) == 3
    none_granted = came_to(*stranger, too_small(3, track=4), expected=ExpectedGrants())
    assert none_granted.decision == "unknown: below-threshold" and none_granted.passed
    assert came_to(too_small(0), too_small(1)).decision == "refused: too-small"
    assert came_to().decision == "no face" and came_to().missed == [ADA]


@pytest.mark.parametrize(
    "expected, moment, false",
    [
        (ExpectedGrants(must=frozenset({ADA})), granted(1), False),
        (ExpectedGrants(may=frozenset({ADA})), granted(1, person=ADA), False),
        (ExpectedGrants(), granted(1), True),
        (ExpectedGrants(must=frozenset({BOB})), granted(1), True),
        (ExpectedGrants(must=frozenset({ADA})), granted(1, person=BOB), True),
    ],
)
def test_grant_of_other_name_or_face_is_false(
    expected: ExpectedGrants, moment: FaceDecision, false: bool
) -> None:
    result = came_to(at(0), moment, expected=expected)
    assert bool(result.false_grants) is false
    assert result.passed is not false and bool(result.failures) is false


def test_grant_on_other_face_does_not_count() -> None:
    result = came_to(granted(3, person=BOB))
    assert result.failures == ["Ada granted at 0.30 s on the face of Bob", "Ada never granted"]


def test_liveness_refuses_attacks() -> None:
    clip = came_to().clip
    assert clip.expected_of(liveness=True) == clip.expected
    assert replace(clip, spoof=True, drawn=True).expected_of(liveness=True) == ExpectedGrants()
    assert replace(clip, spoof=True, drawn=True).expected_of(liveness=False) == clip.expected
    assert replace(clip, drawn=True).expected_of(liveness=True) == ExpectedGrants(
        may=frozenset({ADA})
    )


def test_table_has_rows_and_failures() -> None:
    shown = tables.text(
        [came_to(granted(1)), came_to(expected=ExpectedGrants()), came_to(at(1, person=ADA))]
    )
    assert [line.split()[-1] for line in shown.splitlines()[1:4]] == ["ok", "ok", "FAIL"]
    warning, failure = shown.splitlines()[4:]
    assert "no usable face in 1 frame: no face at all" in warning
    assert failure == "FAIL clip: Ada never granted"
    assert "| ok |" in tables.markdown([came_to(granted(1))], {"Model": "m"})


def test_rehearsal_single_picture_warns() -> None:
    (warning,) = came_to(at(0, person=ADA)).warnings
    assert "one frame is too short to decide" in warning and "`camera.loop: true`" in warning
    assert came_to(granted(0)).warnings == [] and came_to(at(1)).warnings == []


def test_rehearsal_attack_without_pad_opens() -> None:
    attack = came_to(granted(1))
    attack = replace(attack, clip=replace(attack.clip, spoof=True))
    assert attack.expectation == "opens: no PAD" and "opens: no PAD  ok" in tables.text([attack])
    assert replace(attack, expected=ExpectedGrants()).expectation == "grants no one"


def test_page_shows_failures_and_escapes_names() -> None:
    evil = "<script>alert(1)</script>"
    result = came_to(at(0), too_small(1), granted(2, subject=evil), granted(3, track=2, person=BOB))
    html = page.render_page(
        [result, came_to(expected=ExpectedGrants())], {"Terminal": evil, "Liveness": "none"}
    )
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert (
        "Not as expected: clip." in html and html.count("<svg") == 1 and "Liveness is off" in html
    )
    assert "Everything was as expected" in page.render_page(
        [came_to(granted(1))], {"Terminal": "t", "Liveness": "layers"}
    )


def test_a_recording_is_played_at_its_own_pace(tmp_path: Path, collins: np.ndarray) -> None:
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 12.5, (512, 512))
    for _ in range(3):
        writer.write(collins)
    writer.release()
    clip = recorded_clip(path, fps=30)
    assert clip.fps == 12.5 and len(list(clip.play())) == len(list(clip.play())) == 3


def test_rehearsal_without_face_warns(
    config: TerminalConfig, collins: np.ndarray, clip: Callable[..., Path]
) -> None:
    networks = open_networks(config)
    gallery = enroll_in_memory({ADA: [("a", collins)]}, config, networks)
    turned = recorded_clip(clip((np.rot90(collins), 3), name="turned"), 15)
    upright = recorded_clip(clip((collins, 3), name="upright"), 15)
    done = rehearse([(turned, gallery), (upright, gallery)], config, networks)
    words = "WARNING turned: no usable face in 3 frames"
    assert words in tables.text(done) and words in tables.markdown(done, {})
    assert [bool(r.warnings) for r in done] == [True, False]
    assert tables.to_json_data(done, {})["clips"][1]["warnings"] == []


def test_a_frame_s_time_comes_from_the_pace_alone(
    config: TerminalConfig, collins: np.ndarray
) -> None:
    networks = open_networks(config)
    gallery = enroll_in_memory({ADA: [("a", collins)]}, config, networks)
    clip = Clip(
        "clip",
        "",
        4.0,
        lambda: iter([ClipFrame(collins)] * 4),
        ExpectedGrants(may=frozenset({ADA})),
    )
    result = rehearse([(clip, gallery)], config, networks)[0]
    assert [m.at_s for m in result.decisions] == [0.0, 0.25, 0.5, 0.75] and result.frames == 4
    assert [m.at_s for m in result.grants] == [0.5] and result.grants[0].votes == 3
    assert (
        list(result.pictures) == ["first face", "grant", "last face"]
        and result.pictures["grant"].at_s == 0.5
    )
    assert {m.track for m in result.decisions} == {1}


def test_photos_are_checked_as_in_enrollment(
    config: TerminalConfig, collins: np.ndarray, hopper: np.ndarray
) -> None:
    networks = open_networks(config)
    with pytest.raises(PhotoError, match="a and b score"):
        enroll_in_memory({ADA: [("a", collins), ("b", hopper)]}, config, networks)
    with pytest.raises(PhotoError, match="in the gallery as 'Ada'"):
        enroll_in_memory({ADA: [("a", collins)], BOB: [("b", collins)]}, config, networks)
    config = config.model_copy(update={"policy": PolicyConfig(threshold_unmasked=0.9999)})
    other = np.clip(collins * 1.1, 0, 255).astype(np.uint8)
    assert (
        enroll_in_memory({ADA: [("a", collins)], BOB: [("b", other)]}, config, networks).subjects
        == 2
    )  # the door separates them
    with pytest.raises(CameraError, match="no pictures"):
        empty = recorded_clip(config.bundle, fps=15)
        rehearse(
            [(empty, enroll_in_memory({ADA: [("a", collins)]}, config, networks))], config, networks
        )


@pytest.fixture
def photo(tmp_path: Path, collins: np.ndarray) -> str:
    path = tmp_path / "ada.png"
    cv2.imwrite(str(path), collins)
    return f"{ADA}={path}"


def test_command_strangers_and_enrolled(
    write_config: Callable[..., Path],
    clip: Callable[..., Path],
    photo: str,
    tmp_path: Path,
    collins: np.ndarray,
    hopper: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    strangers, ada = clip((hopper, 4), name="strangers"), clip((collins, 4), name="ada")
    reports = [tmp_path / name for name in ("page.html", "report.json", "table.md")]
    files = ["--html", str(reports[0]), "--json", str(reports[1]), "--markdown", str(reports[2])]
    base = ["--config", str(write_config()), "--photo", photo]
    assert command.main([*base, str(strangers), f"{ada}={ADA}", *files]) == 0
    assert "grant: Ada" in capsys.readouterr().out
    figures = json.loads(reports[1].read_text())
    assert figures["passed"] and [c["clip"] for c in figures["clips"]] == ["strangers", "ada"]
    assert (
        figures["clips"][1]["grants"][0]["subject"] == ADA
        and figures["clips"][0]["timeline"][0]["subject"] is None
    )
    assert (
        "Everything was as expected" in reports[0].read_text()
        and "| strangers |" in reports[2].read_text()
    )
    assert command.main([*base, str(ada)]) == 1
    assert "FAIL ada: Ada granted at 0.13 s" in capsys.readouterr().out
    assert not (tmp_path / "state").exists()


def test_command_uses_gallery_and_creates_none(
    config: TerminalConfig,
    clip: Callable[..., Path],
    collins: np.ndarray,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = ["--config", str(tmp_path / "terminal.yaml"), f"{clip((collins, 4))}={ADA}"]
    assert command.main(base) == 1
    assert "no one is enrolled" in capsys.readouterr().err and not config.gallery_path.exists()
    networks = open_networks(config)
    store = open_store(config, networks.bundle.model_digest, load_key_and_drop_privileges(config))
    ada = take_sample(
        collins, networks.detector, networks.embedder, QualityRequirements("standard", 60), "ada"
    )
    store.enroll(ADA, ada.probe.embedding[None])
    store.close()
    assert command.main(base) == 0
    assert not config.decisions_path.exists() and not config.socket_path.exists()


def test_the_command_plays_what_is_drawn(
    write_config: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(adversarial, "CLIPS", [s for s in adversarial.CLIPS if s.name == "far"])
    assert command.main(["--config", str(write_config()), "--adversarial"]) == 0
    assert "too-small" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["none.mp4"], 2, "none.mp4: no such clip"),
        (["clip=Bob"], 2, "'Bob' is not enrolled"),
        (["clip", "--html", "none/page.html"], 2, "its folder does not exist"),
        (["clip", "--photo", "ada.png"], 2, "expected PERSON=PHOTO"),
        (["clip", "--photo", "Ada=none.png"], 1, "cannot be read"),
        (["terminal.yaml"], 1, "no frame can be read"),
    ],
)
def test_a_mistake_is_said_without_a_traceback(
    arguments: list[str],
    code: int,
    words: str,
    write_config: Callable[..., Path],
    clip: Callable[..., Path],
    photo: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip((np.zeros((480, 640, 3), np.uint8), 1))
    monkeypatch.chdir(tmp_path)
    assert command.main(["--config", str(write_config()), "--photo", photo, *arguments]) == code
    assert words in capsys.readouterr().err


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--present", "1 card"], ["clip", "--fps", "0"], []):
        with pytest.raises(SystemExit) as ended:
            command.main(["--config", "terminal.yaml", *arguments])
        assert ended.value.code == 2
    assert "expected clips, --adversarial, --second-factors or --zones" in capsys.readouterr().err
