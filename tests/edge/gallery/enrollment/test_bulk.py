from __future__ import annotations

import json
import os
import signal
import tarfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.audit.reader import read_log
from edge.bundle import open_bundle
from edge.chip import PREPROCESSING
from edge.cli import enroll as command
from edge.config import load_config
from edge.door.credentials_file import PersonEntry, read_document
from edge.errors import RecordError
from edge.gallery.enrollment.journal import EnrollmentJournal, JournalLine
from edge.gallery.key import load_key
from edge.gallery.reader import Subject
from edge.gallery.store import GalleryStore
from tests.processes import Process, until

ENROLL = "edge.cli.enroll"


class Office:
    """Runs bulk enrollments of one terminal."""

    def __init__(self, folder: Path, config_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.config_path, self._capsys = folder, config_path, capsys
        self.photos, self.people, self.report = (
            folder / "photos",
            folder / "people.csv",
            folder / "report.jsonl",
        )
        self.stderr = ""

    def photo(self, name: str, image: np.ndarray) -> None:
        path = self.photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)

    def arguments(self, *more: str, listed: bool = True) -> list[str]:
        source = (
            ["--bulk", str(self.people), "--photos", str(self.photos)]
            if listed
            else ["--bulk", str(self.photos)]
        )
        return ["--config", str(self.config_path), *source, "--report", str(self.report), *more]

    def enroll(self, *more: str, listed: bool = True, expect: int = 0) -> dict[str, Any]:
        """Run the command and return its summary."""
        code = command.main([*self.arguments(*more, listed=listed), "--json"])
        out, self.stderr = self._capsys.readouterr()
        assert code == expect, self.stderr
        return dict(json.loads(out.splitlines()[-1])) if out else {}

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.report.read_text().splitlines()]

    def known(self) -> dict[str, Subject]:
        config = load_config(self.config_path)
        digest = open_bundle(config.bundle, PREPROCESSING).model_digest
        key = load_key(config.key_path, create=False)
        store = GalleryStore(
            config.gallery_path, key=key, terminal=config.terminal, model_digest=digest
        )
        try:
            return {known.name: known for known in store.read_subjects()}
        finally:
            store.close()

    def people_at_door(self) -> tuple[PersonEntry, ...]:
        config = load_config(self.config_path)
        return read_document(config.people_path, config.people_key_path).people

    def templates(self) -> dict[str, int]:
        return {name: len(known.templates) for name, known in self.known().items()}


@pytest.fixture
def office(
    tmp_path: Path,
    write_config: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    collins: np.ndarray,
    hopper: np.ndarray,
) -> Office:
    """Ada has two photos and a black one, Bea has one, Cid has one without a face."""
    made = Office(tmp_path, write_config(), capsys)
    made.photo("Ada/1.png", collins)
    made.photo("Ada/2.png", np.clip(collins * 0.9, 0, 255).astype(np.uint8))
    made.photo("Ada/3.png", np.zeros_like(collins))
    made.photo("Bea/1.png", hopper)
    made.photo("Cid/1.png", np.full((480, 640, 3), 90, np.uint8))
    made.people.write_text("subject,groups,valid_until\nAda,staff,2099-01-01\nBea,,\nCid,,\n")
    return made


def test_bulk_each_refusal_has_a_reason(office: Office) -> None:
    summary = office.enroll(expect=1)
    assert (summary["enrolled"], summary["templates"]) == (2, 3)
    assert summary["refused"] == {"too-few-photos": 1} and summary["photos_not_used"] == {
        "no-face": 2
    }
    assert office.templates() == {"Ada": 2, "Bea": 1}
    (ada,) = office.people_at_door()  # Bea has no rights, and Cid is not enrolled
    assert (ada.name, ada.groups, ada.valid_until) == ("Ada", ("staff",), date(2099, 1, 1))
    rows = {line["subject"]: line for line in office.lines()}
    assert [rows[name]["enrolled"] for name in ("Ada", "Bea", "Cid")] == [True, True, False]
    assert [(Path(one["photo"]).name, one["reason"]) for one in rows["Ada"]["photos"]] == [
        ("3.png", "no-face")
    ]
    assert rows["Cid"]["reason"] == "too-few-photos" and "Cid" in office.stderr
    assert office.report.stat().st_mode & 0o777 == 0o600


def test_bulk_folder_without_list(office: Office) -> None:
    assert office.enroll(listed=False, expect=1)["enrolled"] == 2
    assert office.templates() == {"Ada": 2, "Bea": 1}


def test_bulk_second_run_resumes(office: Office, collins: np.ndarray) -> None:
    office.enroll(expect=1)
    summary = office.enroll(expect=1)
    assert (summary["enrolled"], summary["enrolled_before"], summary["templates"]) == (0, 2, 0)
    office.people.write_text(
        "subject,groups,valid_until\nAda,night,2099-01-01\nBea,,\n"
    )  # other rights: changed at the door
    office.photo("Bea/2.png", np.zeros_like(collins))
    summary = office.enroll()
    assert (summary["enrolled"], summary["enrolled_before"], summary["templates"]) == (1, 1, 0)
    assert [ada.groups for ada in office.people_at_door()] == [("night",)]
    assert office.templates() == {"Ada": 2, "Bea": 1}


@pytest.mark.parametrize("left", [0, 1])
def test_bulk_stored_but_unreported_stored_once(office: Office, left: int) -> None:
    """Killed between storing and reporting: the last line is missing or partial."""
    office.enroll(expect=1)
    lines = office.report.read_bytes().splitlines(keepends=True)
    office.report.write_bytes(b"".join(lines[:left]) + lines[left][:20])
    summary = office.enroll(expect=1)
    assert (summary["enrolled"], summary["enrolled_before"], summary["templates"]) == (
        2 - left,
        left,
        0,
    )
    assert office.templates() == {"Ada": 2, "Bea": 1}
    assert [line["subject"] for line in office.lines()] == (["Ada"] if left else []) + [
        "Ada",
        "Bea",
        "Cid",
    ][left:]


def test_bulk_erased_person_is_enrolled_again(office: Office) -> None:
    from edge.cli import gallery

    office.enroll(expect=1)
    assert gallery.main(["remove", "--config", str(office.config_path), "--subject", "Ada"]) == 0
    office.enroll(expect=1)
    assert office.templates() == {"Ada": 2, "Bea": 1}


def test_bulk_invalid_line_enrolls_no_one(office: Office) -> None:
    office.people.write_text("subject,photos\nAda,\nBea,none.jpg\nCid,../x\n")
    office.enroll(expect=2)
    assert (
        "line 3: photos: none.jpg: no such file" in office.stderr
        and "line 4: photos: '../x'" in office.stderr
    )
    assert not load_config(office.config_path).gallery_path.exists() and not office.report.exists()


def test_bulk_dry_run_stores_nothing(office: Office, collins: np.ndarray) -> None:
    office.people.write_text("subject,photos\nAda,\nBea,\nEve,Ada/1.png\n")
    summary = office.enroll("--dry-run", expect=1)
    assert summary["enrolled"] == 2 and summary["refused"] == {"already-enrolled": 1}
    config = load_config(office.config_path)
    assert not config.gallery_path.exists() and not config.key_path.exists()
    office.enroll(expect=1)  # lines of a dry run do not count as enrolled
    assert office.templates() == {"Ada": 2, "Bea": 1}
    office.enroll("--dry-run", "--replace", expect=1)
    assert office.templates() == {"Ada": 2, "Bea": 1}
    office.photo("Ada/4.png", np.clip(collins * 1.1, 0, 255).astype(np.uint8))
    office.enroll("--dry-run", expect=1)
    assert office.enroll(expect=1)["templates"] == 1


def test_bulk_one_face_under_two_names_refused(office: Office) -> None:
    office.people.write_text("subject,photos\nAda,\nEve,Ada/2.png\n")
    assert office.enroll(expect=1)["refused"] == {"already-enrolled": 1}
    assert office.templates() == {"Ada": 2}


def test_bulk_stated_as_two_people_enrolled(office: Office) -> None:
    """The statement holds for both, in any order."""
    office.people.write_text(
        "subject,photos,not_a_duplicate,reason\nAda,Ada/1.png,Eve,twins\nEve,Ada/2.png,,\n"
    )
    assert office.enroll()["enrolled"] == 2
    assert [one.reason for one in office.known()["Ada"].record.distinct] == ["twins"]
    (noted,) = read_log(load_config(office.config_path).decisions_path)
    assert (noted["subject"], noted["other"], noted["note"]) == ("Ada", "Eve", "twins")


def test_bulk_statement_on_stranger_refused(office: Office) -> None:
    office.people.write_text("subject,not_a_duplicate,reason\nAda,Bob,twins\n")
    office.enroll(expect=2)
    assert "--not-a-duplicate Bob: not enrolled" in office.stderr


def test_bulk_refused_person_says_why_each_photo(office: Office) -> None:
    office.people.write_text("subject\nCid\n")
    office.enroll(expect=1)
    assert "Cid: (no-face)" in office.stderr and "1.png: no face found" in office.stderr


def test_bulk_min_photos_counts_kept_photos(
    office: Office, collins: np.ndarray, hopper: np.ndarray
) -> None:
    assert office.enroll("--min-photos", "2", expect=1)["refused"] == {"too-few-photos": 2}
    assert office.templates() == {"Ada": 2}
    office.photo("Ada/4.png", np.clip(collins * 1.1, 0, 255).astype(np.uint8))
    office.photo("Ada/5.png", hopper)  # an outlier does not count
    assert office.enroll("--min-photos", "4", expect=1)["refused"] == {"too-few-photos": 3}
    assert office.templates() == {"Ada": 2}
    assert office.enroll("--min-photos", "3", expect=1)["photos_not_used"] == {
        "no-face": 2,
        "outlier-photo": 1,
    }
    assert office.templates() == {"Ada": 3}


def test_bulk_required_consent_refuses_by_name(
    office: Office, write_config: Callable[..., Path]
) -> None:
    write_config(enrollment={"consent": True, "erase_after_days": 30, "keep_chips": True})
    office.people.write_text("subject,consent\nAda,form 1\nBea,\n")
    assert office.enroll(expect=1)["refused"] == {"no-consent": 1}
    assert "Bea" in office.stderr and "--consent" in office.stderr
    ada = office.known()["Ada"].record
    assert ada.consent is not None and ada.consent.words == "form 1" and ada.erase_on is not None
    office.enroll("--consent", "form 2")
    assert office.known()["Bea"].record.consent is not None


def test_bulk_foreign_report_file_is_unchanged(office: Office) -> None:
    for content in ("subject,photos\n", "notes without an end", '{"a": 1}\n', "[" * 3000 + "\n"):
        office.report.write_text(content)
        office.enroll(expect=1)
        assert "name another file" in office.stderr and office.report.read_text() == content


def test_journal_append_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    path = tmp_path / "report.jsonl"
    journal = EnrollmentJournal(path)
    journal.append(JournalLine("Ada", "d", True, False, 1, "", ()))
    assert synced == [path.stat().st_size]
    journal.close()
    again = EnrollmentJournal(path)
    assert (
        again.is_enrolled("Ada", lambda: "d")
        and not again.is_enrolled("Ada", lambda: "e")
        and not again.is_enrolled("Bob", lambda: "d")
    )
    again.close()


def test_journal_full_disk_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = EnrollmentJournal(tmp_path / "report.jsonl")
    monkeypatch.setattr(os, "write", lambda fd, data: 3)  # as on a disk that is full after 3 bytes
    with pytest.raises(RecordError, match="took only part of it"):
        journal.append(JournalLine("Ada", "d", True, False, 1, "", ()))
    journal.close()
    with pytest.raises(RecordError, match="not a regular file"):
        EnrollmentJournal(Path("/dev/zero"))


@pytest.mark.shared
def test_bulk_killed_repeatedly_stores_each_once(office: Office, shared: Path) -> None:
    people: dict[str, list[str]] = {}
    with tarfile.open(shared / "chips" / "lfw_pairs.tar") as tar:
        for name in sorted(tar.getnames()):
            people.setdefault(name.split("/")[0], []).append(name)
        chosen = [name for name, photos in people.items() if len(photos) >= 3][:40]
        for name in (photo for subject in chosen for photo in people[subject][:3]):
            file = tar.extractfile(name)
            assert file is not None
            chip = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)
            picture = cv2.copyMakeBorder(
                chip, *[112] * 4, cv2.BORDER_CONSTANT, value=(127, 127, 127)
            )
            office.photo(name, picture)
            if name.startswith(f"{chosen[0]}/"):  # a second name of one person is refused
                office.photo(name.replace(chosen[0], "Zoe", 1), picture)
    chosen.append("Zoe")
    office.people.write_text("\n".join(["subject", *chosen]))
    for lines in (1, 7, 8, 20, 33):  # number of reported people when it is killed
        with Process(ENROLL, *office.arguments(), log=office.folder / "bulk.log") as process:
            until(
                lambda n=lines: (
                    office.report.exists() and len(office.report.read_bytes().splitlines()) >= n
                ),
                "reported more people",
            )
            process.popen.send_signal(signal.SIGKILL)
    summary = office.enroll(expect=1)
    assert summary["enrolled_before"] > 10
    killed, state = office.templates(), office.folder / "state"
    state.rename(office.folder / "killed")
    office.report.unlink()
    office.enroll(expect=1)
    assert office.templates() == killed and len(killed) > 20
