from __future__ import annotations

import unicodedata
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibration.chips import read_chips
from calibration.photos import find_photos
from edge.audit.writer import AuditLogWriter
from edge.cli import audit, gallery
from edge.config import load_config
from edge.door.credentials_file import PersonEntry, read_document
from edge.door.protocol import decode, encode, grant_fields, parse_grant
from edge.errors import ConfigError, GalleryError
from edge.gallery.database import Database
from edge.gallery.enrollment.journal import EnrollmentJournal, JournalLine
from edge.gallery.enrollment.registry import EnrolledSubjects
from edge.gallery.enrollment.roster import read_roster
from edge.gallery.sealing import RowCipher
from edge.gallery.store import GalleryStore
from edge.names import check_name, name_key, normalize_name, parse_group, parse_groups
from edge.subject import SubjectRecord, pair_of
from edge.values import Grant
from tests.edge.gallery.conftest import write_export

PERSIAN = "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627"
SINHALA = "\u0dc1\u0dca\u200d\u0dbb\u0dd3"
KEY = bytes(range(32))
ROW = np.eye(1, 16, dtype=np.float32)
# Letters with several canonical spellings, with Hangul, ideographs and two marks in any order.
LETTERS = [
    "a",
    "é",
    "e\u0323\u0302",
    "\u1ec7",
    "ñ",
    "\u212b",
    "가",
    "각",
    "\uf90a",
    "ạ\u0308",
    "ß",
    "O'",
]
WORDS = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=6).map("".join)
NAMES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
FORMS = st.sampled_from(["NFC", "NFD"])
SPACES = st.sampled_from([" ", "  ", "\u00a0", "\u3000 "])


@st.composite
def spelled(draw: st.DrawFn) -> tuple[str, str]:
    """Return a name, and the same name in another program's spelling."""
    name = draw(NAMES)
    other = unicodedata.normalize(draw(FORMS), name).replace(" ", draw(SPACES))
    edge = draw(st.sampled_from(["", " ", "\u00a0"]))
    return unicodedata.normalize(draw(FORMS), name), edge + other + edge


@given(text=st.text(max_size=20))
def test_name_form_is_stable(text: str) -> None:
    assert normalize_name(normalize_name(text)) == normalize_name(text)
    assert name_key(name_key(text)) == name_key(text) == name_key(normalize_name(text))


@pytest.mark.usefixtures("cheap_scrypt")
@given(names=spelled())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_name_spelling_reaches_one_subject(
    names: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All interfaces normalise names: gallery, lists, reports, exports, config, statements."""
    one, other = names
    folder = tmp_path_factory.mktemp("names")
    with closing(open_gallery(folder / "gallery.db")) as store:
        store.enroll(one, ROW, record=SubjectRecord(mask="any"))
        assert store.enroll(other, ROW) == 2 and list(store.template_counts()) == [
            normalize_name(one)
        ]
        found = EnrolledSubjects(store, dry_run=False).find(other)
        assert found is not None and found.name == normalize_name(one)
        assert write_export(store, folder / "people", "a long passphrase", [other]) == 1
        assert store.find_record(other) == SubjectRecord(mask="any")
        assert store.remove(other) == 2 and store.find_record(one) is None
    assert pair_of(one, "Bob") == pair_of("Bob", other)
    assert parse_group(one) == parse_group(other)
    assert PersonEntry(name="Ada", groups=(one,)).attributes.groups == {name_key(other)}
    photos = folder / "photos"
    (photos / other.strip()).mkdir(parents=True)
    (photos / other.strip() / "1.jpg").write_bytes(b"x")
    roster = folder / "people.csv"
    roster.write_text(f'subject,photos\n"{one}",\n', encoding="utf-8")
    (entry,) = read_roster(roster, photos)
    (same,) = read_roster(photos, None)
    assert entry.subject == same.subject == normalize_name(one) and entry.photos == same.photos
    roster.write_text(f'subject\n"{one}"\n"{other}"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="is in line 2 already"):
        read_roster(roster, photos)
    with closing(EnrollmentJournal(folder / "report")) as journal:
        journal.append(JournalLine(one, "digest", True, False, 1, "", ()))
    with closing(EnrollmentJournal(folder / "report")) as journal:
        assert journal.is_enrolled(other, lambda: "digest")


@pytest.mark.parametrize(
    ("text", "groups"),
    [("staff", ("staff",)), (" staff, night shift,staff", ("staff", "night shift")), ("", ())],
)
def test_parse_groups_splits_at_commas(text: str, groups: tuple[str, ...]) -> None:
    assert parse_groups(text) == groups


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("staff;night", "without ';', found 'staff;night'; .* separated by commas"),
        ("a,", "of 1 to"),
    ],
)
def test_parse_groups_invalid_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_groups(text)


def open_gallery(path: Path) -> GalleryStore:
    return GalleryStore(path, key=KEY, terminal="t", model_digest="m" * 64)


@pytest.mark.parametrize(
    "name", [PERSIAN, SINHALA, "Mª José", "สำราญ", "葛\U000e0100城", "O'Neil-Ng 3"]
)
def test_name_of_any_script_is_accepted(name: str) -> None:
    check_name(name)
    assert normalize_name(name) == unicodedata.normalize("NFC", name)
    grant = Grant(id="1", subject=name, record_id=1, frame_at=1.0, lane="main")
    assert parse_grant(decode(encode("grant", grant_fields(grant)))[1]) == grant


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("A\u200bda", r"U\+200B .zero width space. is invisible"),
        ("A\u202eda", r"U\+202E"),
        ("\u200c", r"U\+200C .* joins no letters"),
        ("A\u200cda", "joins no letters"),
        (PERSIAN + "\u200c", "joins no letters"),
        ("A\u034fda", "is invisible"),
        ("Ada\u3164", "is invisible"),
        ("A\ufe0fda", "is invisible"),
        ("So\ufb01a", "looks like 'fi'; write that"),
        ("\uff21da", "looks like 'A'"),
        ("\ufe8d\ufedf", "looks like"),
        ("A\tda", r"U\+0009"),
        ("A\ud800", r"U\+D800"),
        ("\u00a0 ", "of 1 to 128"),
        ("a" * 129, "of 1 to 128"),
    ],
)
def test_name_that_misleads_is_refused(name: str, words: str) -> None:
    with pytest.raises(GalleryError, match=words):
        check_name(name)


def test_name_joiner_is_kept_and_ignored_in_key(tmp_path: Path) -> None:
    bare = PERSIAN.replace("\u200c", "")
    with closing(open_gallery(tmp_path / "gallery.db")) as store:
        store.enroll(PERSIAN, ROW)
        store.enroll(bare, ROW, record=SubjectRecord(mask="any"))
        assert store.template_counts() == {PERSIAN: 2}
        assert store.find_record(PERSIAN) == SubjectRecord(mask="any")


def test_name_case_makes_two_people(tmp_path: Path) -> None:
    with closing(open_gallery(tmp_path / "gallery.db")) as store:
        store.enroll("Ada", ROW)
        store.enroll("ADA", ROW)
        assert store.template_counts() == {"ADA": 1, "Ada": 1}


def test_gallery_of_earlier_version_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are renamed once, at opening for writing; two people of one name stay two."""
    path = tmp_path / "gallery.db"
    with monkeypatch.context() as patch:
        patch.setattr("edge.gallery.database.to_json", _as_before)
        patch.setattr(RowCipher, "name_tag", lambda cipher, name: name.encode()[:16].ljust(16))
        with closing(open_gallery(path)) as store:
            for name in ("Ada  Lovelace", "Eve", " Bob", "Bob"):
                store.enroll(name, ROW)
            store.db.execute("DELETE FROM meta WHERE name = 'names'")
    with closing(Database(path, key=KEY, terminal="t", read_only=True)) as reader:
        before = reader.read_counter()
    with closing(open_gallery(path)) as store:
        assert sorted(store.template_counts()) == ["Ada Lovelace", "Bob", "Bob (2)", "Eve"]
        assert store.remove("Bob (2)") == store.remove("Eve") == 1 and store.read_counter() > before
        changed = store.read_counter()
    with closing(open_gallery(path)) as store:
        assert (
            store.read_counter() == changed and store.find_record("Ada\u00a0Lovelace") is not None
        )


def _as_before(name: str, record: SubjectRecord) -> bytes:
    return b'{"name": "%s"}' % name.encode()


def test_config_group_is_found_in_any_spelling(write_config: Callable[..., Path]) -> None:
    def write(group: str) -> Path:
        return write_config(access={"lanes": [{"name": "main", "groups": [group]}]})

    (lane,) = load_config(write("Cafe\u0301")).access.lanes
    assert lane.groups == ("Caf\u00e9",)
    with pytest.raises(ConfigError, match=r"access\.lanes\.0\.groups\.0.*: expected a group name"):
        load_config(write("\u200b"))


def test_audit_of_earlier_spelling_is_erased(
    write_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config()
    with closing(AuditLogWriter(load_config(path).decisions_path, log_id="test/decisions")) as log:
        log.append({"kind": "decision", "verdict": "grant", "subject": "Jose\u0301"})
    for command, code in (("show", 0), ("erase", 0), ("show", 1)):
        assert audit.main([command, "--config", str(path), "--subject", "Jos\u00e9"]) == code
    assert capsys.readouterr().out.count(" grant ") == 1
    assert audit.main(["erase", "--config", str(path), "--subject", "Jose"]) == 0
    assert "warning: no record names 'Jose'" in capsys.readouterr().err


def test_photo_folder_in_two_spellings_is_refused(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name in ("Jos\u00e9", "Jose\u0301"):
        (photos / name).mkdir(parents=True)
        (photos / name / "1.jpg").write_bytes(b"x")
    (tmp_path / "people.csv").write_text("subject\nJos\u00e9\n", encoding="utf-8")
    for source, folder in ((tmp_path / "people.csv", photos), (photos, None)):
        with pytest.raises(ConfigError, match="in two spellings"):
            read_roster(source, folder)


def test_command_name_of_no_text_is_refused(
    write_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        gallery.main(["show", "--config", str(write_config()), "--subject", "A\udcff"])
    assert "expected UTF-8 text" in capsys.readouterr().err


def test_days_in_wrong_order_change_nothing(
    write_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_config(path := write_config())
    config.state.mkdir(exist_ok=True)
    config.key_path.write_bytes(KEY)
    config.key_path.chmod(0o600)
    arguments = ["set", "--config", str(path), "--subject", "Ada"]
    with closing(
        GalleryStore(config.gallery_path, key=KEY, terminal=config.terminal, model_digest="m" * 64)
    ) as store:
        store.enroll("Ada", ROW)
    assert gallery.main([*arguments, "--valid-until", "2031-01-01"]) == 0
    assert gallery.main([*arguments, "--valid-from", "2031-02-01"]) == 2
    error = "the last day 2031-01-01 is before the first day 2031-02-01"
    assert error in capsys.readouterr().err
    (ada,) = read_document(config.people_path, config.people_key_path).people
    assert (ada.valid_from, ada.valid_until) == (None, date(2031, 1, 1))


def test_identity_in_two_spellings_is_refused(tmp_path: Path) -> None:
    """A person counted twice would raise thresholds and be on both sides of the split."""
    image = cv2.imencode(".png", np.zeros((112, 112, 3), np.uint8))[1].tobytes()
    for number, name in enumerate(("Jos\u00e9", "Jose\u0301")):
        for root in (tmp_path / "both", tmp_path / f"one{number}"):
            (root / name).mkdir(parents=True)
            (root / name / f"{number}.png").write_bytes(image)
    for read in (find_photos, lambda source: list(read_chips(source))):
        with pytest.raises(ConfigError, match="one name in two spellings"):
            read(tmp_path / "both")
    one, other = (next(read_chips(tmp_path / f"one{i}"))[0].split("/")[0] for i in (0, 1))
    assert one == other == "Jos\u00e9"


def test_photo_names_differing_in_space_are_two(tmp_path: Path) -> None:
    (tmp_path / "Ada").mkdir()
    for name in ("a 1.jpg", "a  1.jpg"):
        (tmp_path / "Ada" / name).write_bytes(b"x")
    (ada,) = read_roster(tmp_path, None)
    assert len(ada.photos) == 2
