from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError, PhotoError
from edge.gallery.enrollment.attributes import AttributePolicy, SubjectAttributes
from edge.gallery.enrollment.roster import COLUMNS, RosterEntry, read_roster
from edge.subject import Consent, PersonRights, SubjectRecord


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "photos"
    for name in (
        "Ada/1.jpg",
        "Ada/2.PNG",
        "Ada/notes.txt",
        "Ada/.hidden.jpg",
        "Bob/b.jpeg",
        "loose.jpg",
    ):
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return made


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def read(path: Path, folder: Path, text: str | bytes) -> list[RosterEntry]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_roster(path, folder)


def read_errors(path: Path, folder: Path, text: str | bytes) -> list[str]:
    """Return the lines of the error message."""
    with pytest.raises(ConfigError) as caught:
        read(path, folder, text)
    return [line.strip() for line in str(caught.value).splitlines()]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_roster_every_column_is_read(people: Path, folder: Path, mark: str, ending: str) -> None:
    text = ending.join(
        [
            mark + ",".join(COLUMNS),
            'Ada,,"staff, night",2031-01-01,2031-12-31,yes,any,no-challenge,'
            '"form 12, shelf 3",2032-01-01,Zoë; 17,twins',
            "",
            "Zoë,Bob;loose.jpg,,,,no,,,,,,",
        ]
    )
    ada, zoe = read(people, folder, text)
    assert ada.photos == (folder / "Ada" / "1.jpg", folder / "Ada" / "2.PNG")
    assert ada.attributes == SubjectAttributes(
        "any",
        "no-challenge",
        "form 12, shelf 3",
        date(2032, 1, 1),
        ("Zoë", "17"),
        "twins",
    )
    assert ada.rights == {
        "groups": ("staff", "night"),
        "valid_from": date(2031, 1, 1),
        "valid_until": date(2031, 12, 31),
        "extended": True,
    }
    assert zoe == RosterEntry(
        "Zoë",
        (folder / "Bob" / "b.jpeg", folder / "loose.jpg"),
        SubjectAttributes(),
        {"extended": False},
    )


def test_roster_all_invalid_lines_are_reported(people: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "away.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "Eve").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"x")
    lines = {
        "Ada,loose.jpg,": None,
        "Ada,loose.jpg,,": "expected 3 cells, found 4",
        " ,loose.jpg,": "subject: expected a subject name",
        "=cmd(),loose.jpg,": "begins like a formula",
        "@sum,loose.jpg,": "begins like a formula",
        "Bob,../secret.jpg,": "within",
        f"Cid,{tmp_path}/secret.jpg,": "within",
        "Dan,away.jpg,": "leads out of",
        "Eve,,": "no photos in it",
        "Fay,missing.jpg,": "no such file or folder",
        "Gil,loose.jpg;loose.jpg,": "named twice",
        "Hal,loose.jpg,2031-02-30": "expected a day such as",
        "Ida,loose.jpg,20310201": "expected a day such as",
        "Ada,loose.jpg,2031-02-01": "is in line 2 already",
        "Joe,..\\secret.jpg,": "within",
        "Kim,loose.jpg/1.jpg,": "cannot be read",
        "\U0001f600" * 128 + ",,": "cannot be read",  # a name, and longer than a file's may be
    }
    errors = read_errors(people, folder, "\n".join(["subject,photos,valid_until", *lines]))
    expected = {number: words for number, words in enumerate(lines.values(), 2) if words}
    assert len(errors) - 1 == len(expected)
    for (number, words), line in zip(expected.items(), errors[1:], strict=True):
        assert line.startswith(f"line {number}: ") and words in line, (line, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a header with the column subject, found nothing"),
        ("name,photos\nAda,", "expected a header with the column subject, found name, photos"),
        ("subject,pin\nAda,1234", "line 1: unknown column 'pin'"),
        ("subject,photos,photos\nAda,,", "column 'photos' appears 2 times"),
        ("subject\n", "the list is empty"),
        (b"subject\nJos\xe9\n", "neither UTF-8 nor UTF-16 text"),
        ('subject,photos\n"Ada,loose.jpg\n', "not CSV"),
        ('subject,photos\n"A"da,loose.jpg\n', "not CSV"),
        ("subject,extended\nAda,true", "expected yes or no"),
        ("subject,mask\nAda,none", "expected as-configured or any"),
        ("subject,groups\nAda,staff;night", "groups: expected a group name without ';'"),
        ("subject,valid_from,valid_until\nAda,2031-02-02,2031-02-01", "is after valid_until"),
    ],
)
def test_roster_invalid_list_is_refused(
    people: Path, folder: Path, text: str | bytes, words: str
) -> None:
    assert words in "\n".join(read_errors(people, folder, text))


@given(st.binary(max_size=300))
def test_roster_any_bytes_raise_config_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("people")
    path = folder / "people.csv"
    path.write_bytes(b"subject,photos\n" + content)
    (folder / "photos").mkdir()
    with pytest.raises(ConfigError):  # the folder is empty: no line can be valid
        read_roster(path, folder / "photos")


def test_roster_folder_for_each_person(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"loose\.jpg: expected a folder for each person"):
        read_roster(folder, None)
    (folder / "loose.jpg").unlink()
    (folder / "readme.txt").write_text("x")
    assert [(one.subject, len(one.photos)) for one in read_roster(folder, None)] == [
        ("Ada", 2),
        ("Bob", 1),
    ]
    with pytest.raises(ConfigError, match="leave out --photos"):
        read_roster(folder, folder)
    (folder / "Eve").symlink_to(folder.parent)
    with pytest.raises(ConfigError, match="leads out of"):
        read_roster(folder, None)


def test_roster_list_without_folder_refused(people: Path, folder: Path) -> None:
    people.write_text("subject\nAda\n")
    with pytest.raises(ConfigError, match="--photos FOLDER"):
        read_roster(people, None)


TODAY = date(2030, 6, 1)


def policy(
    *, consent_required: bool = False, erase_after_days: int | None = None
) -> AttributePolicy:
    return AttributePolicy("root", TODAY, consent_required, erase_after_days)


def test_record_unnamed_attributes_stay() -> None:
    rules = policy()
    known = SubjectRecord(
        mask="any",
        consent=Consent(date(2029, 1, 1), "eve", "form 1"),
        unmoved_rights=PersonRights(("staff",)),
    )
    assert rules.build_record("Ada", SubjectAttributes(), known) == known
    changed = rules.build_record(
        "Ada",
        SubjectAttributes(liveness="no-challenge", consent="form 2"),
        known,
    )
    assert changed == SubjectRecord(
        mask="any",
        liveness="no-challenge",
        consent=Consent(TODAY, "root", "form 2"),
        unmoved_rights=PersonRights(("staff",)),
    )


def test_record_without_required_consent_refused() -> None:
    rules = policy(consent_required=True)
    with pytest.raises(PhotoError, match="--consent") as caught:
        rules.build_record("Ada", SubjectAttributes(), None)
    assert caught.value.reason == "no-consent"
    noted = rules.build_record("Ada", SubjectAttributes(consent="form 1"), None)
    assert noted.consent == Consent(TODAY, "root", "form 1")
    assert (
        rules.build_record("Ada", SubjectAttributes(), noted) == noted
    )  # a recorded consent is not requested again


def test_record_erase_day_from_last_enrollment() -> None:
    rules = policy(erase_after_days=30)
    assert rules.build_record(
        "Ada", SubjectAttributes(), SubjectRecord(erase_on=date(2030, 6, 3))
    ).erase_on == date(2030, 7, 1)
    assert rules.build_record(
        "Ada", SubjectAttributes(erase_on=date(2030, 8, 1)), None
    ).erase_on == date(2030, 8, 1)
    with pytest.raises(PhotoError, match="not after"):
        rules.build_record("Ada", SubjectAttributes(erase_on=TODAY), None)


def test_attributes_line_overrides_command() -> None:
    assert SubjectAttributes(mask="any").with_defaults(
        SubjectAttributes(mask="as-configured", consent="form")
    ) == SubjectAttributes(mask="any", consent="form")


def test_roster_folder_of_leftovers_ignored(tmp_path: Path) -> None:
    for name in (
        "Ada/1.jpg",
        "Ada/._1.jpg",
        "__MACOSX/Ada/._1.jpg",
        "__MACOSX/1.jpg",
        "@eaDir/1.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (entry,) = read_roster(tmp_path, None)
    assert (entry.subject, [path.name for path in entry.photos]) == ("Ada", ["1.jpg"])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_roster_of_any_spreadsheet_is_read(
    people: Path, folder: Path, separator: str, named: bool, encoding: str, ending: str
) -> None:
    """Lists as spreadsheets of several countries write them, with or without a `sep=` line."""
    rows = [
        ["Subject", "photos", "consent"],
        ["Zoë", '"Ada/1.jpg;loose.jpg"', '"form 1, shelf; 2"'],
        ['"Bob"', "", ""],
    ]
    lines = [f"sep={separator}"] * named + [separator.join(row) for row in rows]
    found = read(people, folder, (ending.join(lines) + ending).encode(encoding))
    assert [(one.subject, len(one.photos), one.attributes.consent) for one in found] == [
        ("Zoë", 2, "form 1, shelf; 2"),
        ("Bob", 1, None),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"subject|photos\nAda|\n", "line 1: cells are separated by '|'; expected commas"),
        (b"sep=|\nsubject|photos\n", "line 1: cells are separated by '|'"),
        (b"sep=;\nsubject;photos\nAda;none.jpg\n", "line 3: photos: none.jpg"),
        (b"subject;photos\nAda;a.jpg;b.jpg\n", "a cell that holds ';' must be in double"),
        (b"subject;nam\nAda;x\n", "unknown column 'nam'"),
        ("subject\nZo\xeb\n".encode("cp1252"), "neither UTF-8 nor UTF-16"),
        (b"subject,not_a_duplicate\nAda,Bob\n", "expected together with a reason"),
    ],
)
def test_roster_wrong_separator_is_named(
    people: Path, folder: Path, text: bytes, words: str
) -> None:
    assert words in " ".join(read_errors(people, folder, text))


def test_roster_folder_of_loose_photos_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError, match="All of one person\\? edge-enroll --subject NAME"):
        read_roster(tmp_path, None)


def test_roster_picture_of_any_format_is_listed(tmp_path: Path) -> None:
    """Refused formats are included, so that every picture is reported."""
    names = ["1.heic", "2.gif", "3.WEBP", "4.tiff", "5.bmp"]
    (tmp_path / "Ada").mkdir()
    for name in names:
        (tmp_path / "Ada" / name).write_bytes(b"x")
    (entry,) = read_roster(tmp_path, None)
    assert [path.name for path in entry.photos] == names
