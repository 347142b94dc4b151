from __future__ import annotations

import csv
import json
import os
import signal
import struct
import subprocess
import sys
import tarfile
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from calibration import prepare
from calibration.chips import decode_chip, has_real_mask, read_chips
from calibration.cli.prepare import main
from calibration.photos import FoundPhotos, Photo, read_photo
from edge import photofile
from edge.bundle import file_digest
from edge.chip import PREPROCESSING, align
from edge.errors import PhotoError
from edge.face.detect import FaceDetector
from edge.face.embed import Embedder
from edge.values import Face
from tests.processes import TIMEOUT_S, Process, until

Image = np.ndarray


def encoded(image: Image, ending: str = ".jpg") -> bytes:
    return cv2.imencode(ending, image)[1].tobytes()


def put(root: Path, name: str, data: bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(data)


def put_in_tar(path: Path, *members: tuple[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, BytesIO(data))


@pytest.fixture
def photos(tmp_path: Path, collins: Image, hopper: Image) -> Path:
    """Photos of two people, and one of each kind that cannot be used."""
    root = tmp_path / "photos"
    put(root, "collins/front.png", encoded(collins, ".png"))
    put(root, "collins/again.webp", encoded(collins, ".webp"))
    put(root, "hopper/front.jpg", encoded(hopper))
    put(root, "hopper/cut.jpg", encoded(hopper)[:-2000])
    put(root, "hopper/wall.bmp", encoded(np.full((480, 640, 3), 90, np.uint8), ".bmp"))
    put(root, "no-face/words.JPEG", b"no picture")
    put(root, "stray.jpg", encoded(hopper))
    put(root, "hopper/notes.txt", b"taken in 1984")
    return root


@pytest.fixture
def make(tmp_path: Path, bundle_path: Path) -> Any:
    """Runs the command in this process; its exit code."""

    def run(photos: Path, *arguments: str | Path, out: str = "chips.tar", workers: int = 0) -> int:
        return main(
            [
                str(photos),
                "--detector",
                str(bundle_path),
                "--out",
                str(tmp_path / out),
                "--workers",
                str(workers),
                *map(str, arguments),
            ]
        )

    return run


def chips_of(path: Path) -> dict[str, Image]:
    return {name: decode_chip(data, name) for name, data in read_chips(path)}


def refused(tmp_path: Path, out: str = "chips.tar") -> dict[str, str]:
    with (tmp_path / f"{out}.refused.csv").open(newline="") as file:
        return {row["photo"]: row["reason"] for row in csv.DictReader(file)}


def test_chips_are_those_of_enrollment(
    tmp_path: Path, photos: Path, make: Any, detector: FaceDetector
) -> None:
    assert make(photos) == 0
    made = chips_of(tmp_path / "chips.tar")
    assert list(made) == ["collins/again.jpg", "collins/front.jpg", "hopper/front.jpg"]
    for chip, photo in (
        ("collins/front.jpg", "collins/front.png"),
        ("hopper/front.jpg", "hopper/front.jpg"),
    ):
        image = photofile.decode_photo(photofile.read_photo(photos / photo), photo)
        terminal_s = align(image, detector.detect(image)[0].landmarks_xy)
        assert np.array_equal(
            made[chip],
            decode_chip(
                cv2.imencode(".jpg", terminal_s, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes(), chip
            ),
        )


def test_every_photo_is_a_chip_or_is_named(
    tmp_path: Path, photos: Path, make: Any, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(photos) == 0
    assert refused(tmp_path) == {
        "hopper/cut.jpg": "unreadable",
        "hopper/wall.bmp": "no-face",
        "no-face/words.JPEG": "unreadable",
        "stray.jpg": "no-identity",
    }
    report = json.loads((tmp_path / "chips.tar.report.json").read_text())
    assert (
        report["photos"],
        report["chips"],
        report["people"],
        report["people_without_chips"],
    ) == (7, 3, 2, 1)
    assert report["refused"] == {"no-face": 1, "no-identity": 1, "unreadable": 2}
    assert report["identities"]["hopper"] == {"kept": 1, "refused": 2}
    assert report["identities"]["no-face"] == {"kept": 0, "refused": 1}
    assert report["other_files"] == {".txt": 1}
    assert report["detector_sha256"] == file_digest(bundle_path / "detector-640x480.onnx")
    assert report["preprocessing"] == PREPROCESSING
    assert report["settings"]["min_eyes"] == 12
    said = capsys.readouterr().out
    assert (
        "3 chips of 2 people from 7 photos" in said and "unreadable 2" in said and ".txt 1" in said
    )


def test_json_is_one_object_for_machines(
    photos: Path, make: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(photos, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["chips"] == 3 and "identities" not in summary


def test_small_face_is_refused_by_limit(tmp_path: Path, make: Any, collins: Image) -> None:
    put(
        tmp_path / "small",
        "collins/far.png",
        encoded(cv2.resize(collins, (128, 128), interpolation=cv2.INTER_AREA), ".png"),
    )
    assert make(tmp_path / "small") == 1
    assert refused(tmp_path) == {"collins/far.png": "too-small"}
    assert not (tmp_path / "chips.tar").exists()
    assert make(tmp_path / "small", "--min-eyes", "6") == 0


def test_several_faces_rule(
    tmp_path: Path,
    make: Any,
    collins: Image,
    hopper: Image,
    collins_chip: Image,
    hopper_chip: Image,
    embedder: Embedder,
) -> None:
    both = np.zeros((1000, 1512, 3), np.uint8)
    both[200:712, 600:1112], both[:304, :256] = collins, cv2.resize(hopper, (256, 304))
    put(tmp_path / "both", "a/both.png", encoded(both, ".png"))
    assert make(tmp_path / "both", "--face", "only") == 1
    assert refused(tmp_path) == {"a/both.png": "several-faces"}
    assert make(tmp_path / "both") == 0
    chosen, subject, other = embedder.embed(
        np.stack([chips_of(tmp_path / "chips.tar")["a/both.jpg"], collins_chip, hopper_chip])
    )
    assert chosen.embedding @ subject.embedding > 0.8 > 0.4 > chosen.embedding @ other.embedding


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ((430, 290, 470, 340), "smaller"),
        ((-150, 150, 250, 650), "cut by the border"),
        ((820, 20, 1000, 200), "in a corner"),
    ],
)
def test_what_makes_a_face_prominent(other: tuple[int, ...], why: str) -> None:
    def face(*box: int) -> Face:
        return Face(np.array(box, np.float32), np.zeros((5, 2), np.float32), 0.9)

    subject = face(420, 300, 560, 480)
    for order in ([subject, face(*other)], [face(*other), subject]):
        assert prepare.choose_face(order, 1000, 800, "largest") is subject, why


def test_the_same_photos_give_the_same_bytes(tmp_path: Path, photos: Path, make: Any) -> None:
    assert make(photos, "--contact-sheet", tmp_path / "a.jpg", out="a.tar") == 0
    for path in photos.rglob("*.*"):
        os.utime(path, (1, 1))
    assert make(photos, "--contact-sheet", tmp_path / "b.jpg", out="b.tar", workers=2) == 0
    for ending in ("tar", "tar.report.json", "tar.refused.csv", "jpg"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == sorted(tar.getnames())
        assert {(m.mtime, m.uid, m.gid, m.uname) for m in tar} == {(0, 0, 0, "")}


def test_a_tar_gives_what_its_folder_gives(tmp_path: Path, photos: Path, make: Any) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(photos, ".")
    assert make(photos, out="a") == make(tmp_path / "photos.tar", out="b") == 0
    a, b = chips_of(tmp_path / "a"), chips_of(tmp_path / "b")
    assert list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)
    assert refused(tmp_path, "a") == {
        name.removeprefix("./"): why for name, why in refused(tmp_path, "b").items()
    }


def test_exif_orientation_is_respected(tmp_path: Path, make: Any, hopper: Image) -> None:
    """Orientation 6: the picture is stored lying, to be turned right."""
    lying = encoded(cv2.rotate(hopper, cv2.ROTATE_90_COUNTERCLOCKWISE))
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    put(
        tmp_path / "p",
        "a/turned.jpg",
        lying[:2] + b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff + lying[2:],
    )
    put(tmp_path / "p", "a/upright.jpg", encoded(hopper))
    assert make(tmp_path / "p") == 0
    made = chips_of(tmp_path / "chips.tar")
    assert np.abs(made["a/turned.jpg"].astype(int) - made["a/upright.jpg"].astype(int)).mean() < 4


def test_chip_names_are_unique_and_keep_mask_mark(tmp_path: Path, make: Any, hopper: Image) -> None:
    names = (
        "a/1.jpg",
        "a/1.png",
        "a/1-2.jpg",
        "a/m/1.jpg",
        "a/masked/m_1.jpg",
        "a/x/y/1.jpg",
        "b/1.jpg",
        f"b/{'ü' * 120}.png",
    )
    for name in names:
        put(tmp_path / "p", name, encoded(hopper, Path(name).suffix))
    assert make(tmp_path / "p", out="chips") == 0
    made = chips_of(tmp_path / "chips")
    assert len(made) == len(names)
    assert {"a/1.jpg", "a/1-m.jpg", "a/m_1-masked.jpg", "a/1-x-y.jpg", "b/1.jpg"} < made.keys()
    assert [name for name in made if has_real_mask(name)] == ["a/m_1-masked.jpg"]


def test_prepare_leftovers_are_no_photos(tmp_path: Path, make: Any, hopper: Image) -> None:
    put(tmp_path / "p", "a/1.jpg", encoded(hopper))
    for name in ("a/._1.jpg", "__MACOSX/a/._1.jpg", "a/.DS_Store", "a/Thumbs.db"):
        put(tmp_path / "p", name, b"\0\5\x16\7")
    assert make(tmp_path / "p") == 0
    assert set(chips_of(tmp_path / "chips.tar")) == {"a/1.jpg"}
    assert refused(tmp_path) == {}
    report = json.loads((tmp_path / "chips.tar.report.json").read_text())
    assert report["other_files"] == {"of the operating system": 4}


def test_prepare_folder_around_people_is_refused(
    tmp_path: Path, make: Any, hopper: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    members = [(f"people/{name}/1.jpg", encoded(hopper)) for name in "ab"]
    put_in_tar(tmp_path / "p.tar", *members)
    for name, data in members:
        put(tmp_path / "p", name, data)
    for source in ("p.tar", "p"):
        assert make(tmp_path / source, out="chips") == 2
        assert "in the one folder 'people', which would be one person" in capsys.readouterr().err


def test_a_tar_s_names_and_links_lead_nowhere(tmp_path: Path, make: Any, hopper: Image) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for name in (
            "../../out.jpg",
            "a/../../out.jpg",
            "/a/fine.jpg",
            "a/twice.jpg",
            "a/twice.jpg",
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(data := encoded(hopper))
            tar.addfile(entry, BytesIO(data))
        link = tarfile.TarInfo("a/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.jpg")
        tar.addfile(link)
    put(tmp_path, "secret.jpg", encoded(hopper))
    assert make(tmp_path / "evil.tar", out="chips") == 0
    assert set(chips_of(tmp_path / "chips")) == {"a/fine.jpg", "a/twice.jpg", "a/twice-2.jpg"}
    assert refused(tmp_path, "chips") == {
        "../../out.jpg": "no-identity",
        "a/../../out.jpg": "no-identity",
        "a/link.jpg": "unreadable",
    }
    assert (
        'a/link.jpg,unreadable,"a/link.jpg: not a regular file, or a link'
        in (tmp_path / "chips.refused.csv").read_text()
    )
    assert not list(tmp_path.parent.rglob("out*.jpg"))


@pytest.mark.parametrize("size", [512 * 5 + 1000, 512 * 4, 512 * 4 + 100])
def test_a_damaged_tar_is_not_read_halfway(
    tmp_path: Path, make: Any, hopper: Image, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut in a picture, between two members and in a header.

    Tarfile takes the last two for the end.
    """
    path = tmp_path / "p.tar"
    put_in_tar(path, ("a/0.jpg", bytes(512)), ("a/1.jpg", bytes(512)), ("a/2.jpg", encoded(hopper)))
    path.write_bytes(path.read_bytes()[:size])
    assert make(path) == 2
    assert "p.tar" in capsys.readouterr().err


@pytest.mark.parametrize("ending", (".jpg", ".png", ".webp", ".bmp", ".tif"))
def test_every_ending_is_read(tmp_path: Path, ending: str) -> None:
    data = encoded(np.zeros((37, 53, 3), np.uint8), ending)
    (tmp_path / "x").write_bytes(data)
    assert read_photo(Photo("a/x.jpg", "a/x", str(tmp_path / "x"), 0, len(data))).shape == (
        37,
        53,
        3,
    )


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "is empty"),
        (b"\xff\xd8\xff\xe0", "JPEG file is damaged or cut off"),
        (b"\x89PNG\r\n\x1a\n", "PNG file is damaged or cut off"),
        (b"BM", "BMP file is damaged or cut off"),
        (
            b"BM" + struct.pack("<IHHIIiiHH", 0, 0, 0, 54, 40, 60_000, 60_000, 1, 24) + bytes(60),
            "60000x60000 pixels, .* 134 megapixels",
        ),
        (
            b"BM" + struct.pack("<IHHIIiiHH", 0, 0, 0, 54, 40, 9000, 9000, 1, 24) + bytes(60),
            "BMP file is damaged",
        ),
        (encoded(np.zeros((2, 4000, 3), np.uint8)), "4000x2"),
        (encoded(np.zeros((64, 64, 3), np.uint8), ".png")[:-30], "damaged"),
        (b"GIF89a", "GIF is not read"),
    ],
)
def test_bombs_and_damage_are_refused_early(tmp_path: Path, data: bytes, detail: str) -> None:
    (tmp_path / "x.jpg").write_bytes(data)
    with pytest.raises(PhotoError, match=detail) as caught:
        read_photo(Photo("a/x.jpg", "a/x.jpg", str(tmp_path / "x.jpg"), 0, len(data)))
    assert caught.value.reason == "unreadable" and "a/x" in str(caught.value)


def test_links_to_nothing_and_pipes_are_refused(tmp_path: Path, make: Any, hopper: Image) -> None:
    put(tmp_path / "p", "a/1.jpg", encoded(hopper))
    (tmp_path / "p/a/gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    (tmp_path / "linked").mkdir()
    put(tmp_path / "linked", "2.jpg", encoded(hopper))
    (tmp_path / "p/b").symlink_to(tmp_path / "linked")
    os.mkfifo(tmp_path / "p/a/pipe.jpg")
    assert make(tmp_path / "p") == 0
    assert list(chips_of(tmp_path / "chips.tar")) == ["a/1.jpg", "b/2.jpg"]
    assert refused(tmp_path) == {"a/gone.jpg": "unreadable", "a/pipe.jpg": "unreadable"}


def test_replace_needs_option_and_own_output(tmp_path: Path, photos: Path, make: Any) -> None:
    for out in ("chips.tar", "chips"):
        assert make(photos, out=out) == 0
        before = (tmp_path / f"{out}.report.json").read_bytes()
        assert make(photos, out=out) == 2
        (photos / "hopper/front.jpg").touch()
        assert make(photos, "--replace", out=out) == 0
        assert (tmp_path / f"{out}.report.json").read_bytes() == before
    put(tmp_path / "holiday", "a.txt", b"precious")
    assert make(photos, "--replace", out="holiday") == 2
    assert (tmp_path / "holiday/a.txt").exists()


def test_nothing_kept_leaves_what_was_there(
    tmp_path: Path, photos: Path, make: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(photos) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.glob("chips*")}
    put(tmp_path / "none", "a/1.jpg", b"no picture")
    assert make(tmp_path / "none", "--replace") == 1
    assert "none of the 1 photos could be kept (unreadable 1)" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.glob("chips*")} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--out", "photos/chips.tar"), "inside or around the photos"),
        (("--out", "."), "inside or around the photos"),
        (("--detector", "none.onnx"), "none.onnx"),
        (("--detector", "photos"), "no model bundle"),
        (("--detector", "bundle/embedder.onnx"), "YuNet"),
        (("--detector", "bundle/detector-320x256.onnx"), "--size 640x480"),
        (("--min-eyes", "0"), "--min-eyes above 0"),
        (("--workers", "-1"), "--workers"),
        (("--contact-sheet", "sheet.txt"), "sheet.txt"),
    ],
)
def test_wrong_usage_is_a_sentence(
    tmp_path: Path,
    photos: Path,
    bundle_path: Path,
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bundle").symlink_to(bundle_path)
    assert (
        main(["photos", "--detector", "bundle", "--out", "chips.tar", "--workers", "0", *arguments])
        == 2
    )
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not list(tmp_path.glob("*chips*"))


@pytest.mark.parametrize("content", [None, b"", b"no tar" * 200])
def test_photos_that_are_not_there(
    tmp_path: Path, make: Any, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.tar"
    if content is not None:
        path.write_bytes(content)
    assert make(path) == 2
    assert "p.tar" in capsys.readouterr().err


def test_an_empty_folder_and_a_link_in_a_circle(
    tmp_path: Path, make: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p/a").mkdir(parents=True)
    assert make(tmp_path / "p") == 2
    (tmp_path / "p/a/up").symlink_to(tmp_path / "p")
    assert make(tmp_path / "p") == 2
    assert "found none" in (said := capsys.readouterr().err) and "link to a folder above" in said


def test_a_full_disk_is_a_sentence(
    tmp_path: Path,
    photos: Path,
    make: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    assert make(photos) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not list(tmp_path.glob("*chips*"))


@pytest.mark.parametrize("number", [0, 1, 3, 64, 65, 200])
def test_contact_sheet_covers_all_photos(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grey level of a chip identifies the photo of a tile."""
    found = FoundPhotos(
        [Photo(f"a/{i:03}.jpg", f"a/{i:03}.jpg", "", 0, 0) for i in range(number)], [], Counter()
    )
    grey = [
        prepare.PhotoOutcome(encoded(np.full((112, 112, 3), i, np.uint8))) for i in range(number)
    ]
    monkeypatch.setattr(prepare, "make_chips", lambda *_: (outcome for outcome in grey))
    (tmp_path / "detector").touch()
    _, sheet = prepare.write_chips(
        tmp_path,
        found,
        prepare.PrepareSettings(str(tmp_path / "detector"), "", 0, "", 0),
        0,
        as_tar=True,
    )
    shown = [int(decode_chip(chip, "chip")[50, 50, 0]) for chip in sheet]
    assert len(shown) == min(number, 64)
    assert shown == sorted(shown) and (number < 65 or (shown[0] == 0 and shown[-1] > number - 8))
    if sheet:
        picture = cv2.imdecode(
            np.frombuffer(prepare.contact_sheet(sheet, ".png"), np.uint8), cv2.IMREAD_COLOR
        )
        assert picture is not None and picture.shape == (-(-len(shown) // 8) * 112, 896, 3)


@pytest.fixture
def many(tmp_path: Path, hopper: Image) -> Path:
    """Work for much longer than a test needs to interrupt it."""
    root = tmp_path / "many"
    put(root, "a/0.jpg", encoded(hopper))
    for i in range(1, 4000):
        os.link(root / "a/0.jpg", root / f"a/{i}.jpg")
    return root


def test_prepare_killed_leaves_no_archive(tmp_path: Path, many: Path, bundle_path: Path) -> None:
    command = (many, "--detector", bundle_path, "--out", tmp_path / "chips.tar", "--workers", "1")
    with Process("calibration.cli.prepare", *command, log=tmp_path / "log") as process:
        until(
            lambda: any(path.stat().st_size for path in tmp_path.glob(".chips.tar-*/chips")),
            "the first chips",
        )
        workers = (
            Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children").read_text().split()
        )
        process.popen.kill()
        assert process.popen.wait(TIMEOUT_S) == -signal.SIGKILL
    assert not list(tmp_path.glob("chips.tar*"))
    until(lambda: not any(_alive(pid) for pid in workers), "the workers end with their parent")


def _alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize("early", [True, False])
def test_ctrl_c_ends_without_output(
    tmp_path: Path, many: Path, bundle_path: Path, workers: str, early: bool
) -> None:
    """Ctrl-C reaches the process group, also while the workers are starting."""
    command = [
        many,
        "--detector",
        bundle_path,
        "--out",
        tmp_path / "chips.tar",
        "--workers",
        workers,
    ]
    popen = subprocess.Popen(
        [sys.executable, "-m", "calibration.cli.prepare", *map(str, command)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        until(
            lambda: any(early or p.stat().st_size for p in tmp_path.glob(".chips.tar-*/chips")),
            "the work",
        )
        os.killpg(popen.pid, signal.SIGINT)
        _, error = popen.communicate(timeout=TIMEOUT_S)
    finally:
        popen.kill()
    assert (popen.returncode, error) == (
        1,
        f"mfsa-prepare: stopped before the end; {tmp_path / 'chips.tar'} was not written\n",
    )
    assert not list(tmp_path.glob("*chips*"))


def test_ctrl_c_waits_while_a_worker_is_started() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt), prepare.defer_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        steps.append("went on")
    assert steps == ["went on"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_needs_no_torch() -> None:
    code = "import calibration.prepare, sys; print('torch' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "False\n"
    )
