from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import open_bundle, read_manifest
from edge.chip import PREPROCESSING
from edge.cli import door, door_people, enroll
from edge.cli.gallery import main
from edge.config import TerminalConfig, load_config
from edge.door.client import DoorClient
from edge.door.credential_editor import edit_credentials
from edge.door.credentials_file import PersonEntry, read_document
from edge.errors import DoorError
from edge.gallery.key import load_key
from edge.gallery.store import GalleryStore, open_store
from edge.people import rights
from edge.people.author import ChangeAuthor
from edge.subject import PersonRights, SubjectRecord
from edge.system.wallclock import BUILT_AFTER
from tests.bundles import EMBEDDING
from tests.doors import RunningDoor as Door
from tests.doors import until


@pytest.fixture
def config(write_config: Callable[..., Path], bundle_path: Path) -> TerminalConfig:
    return load_config(write_config(bundle=str(bundle_path)))


def opened(config: TerminalConfig) -> GalleryStore:
    model = open_bundle(config.bundle, PREPROCESSING).model_digest
    return open_store(config, model, load_key(config.key_path, create=True))


@pytest.fixture
def gallery(config: TerminalConfig, tmp_path: Path) -> Callable[..., int]:
    with closing(opened(config)) as store:
        store.enroll("Ada", np.eye(2, EMBEDDING, dtype=np.float32))
        store.enroll("Eve", np.eye(3, EMBEDDING, dtype=np.float32)[2:])
    return lambda command, *more: main(
        [command, "--config", str(tmp_path / "terminal.yaml"), *more]
    )


def test_set_attributes_are_listed_and_shown(
    gallery: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [
        "--groups",
        "staff,night",
        "--valid-until",
        "2027-01-01",
        "--mask",
        "any",
        "--extended",
        "on",
    ]
    assert gallery("set", "--subject", "Ada", *changes) == 0
    assert gallery("list") == 0
    listed = (
        "templates  subject\n        2  Ada  (staff, night, until 2027-01-01, extended, any mask)\n"
    )
    assert listed in capsys.readouterr().out
    assert gallery("set", "--subject", "Ada", "--valid-until", "none", "--groups", "") == 0
    capsys.readouterr()
    assert gallery("show", "--subject", "Ada", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    unlimited = asdict(PersonRights(extended=True)) | {"groups": []}
    assert shown["rights"] == unlimited and shown["mask"] == "any"
    assert [template["chip_kept"] for template in shown["templates"]] == [False, False]


def at_door(config: TerminalConfig) -> dict[str, PersonEntry]:
    people = read_document(config.people_path, config.people_key_path).people
    return {person.name: person for person in people}


def test_set_writes_rights_to_the_door_only(
    gallery: Callable[..., int], config: TerminalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gallery("set", "--subject", "Ada", "--groups", "staff", "--mask", "any") == 0
    assert "Ada: mask, groups changed" in capsys.readouterr().out
    assert at_door(config)["Ada"].groups == ("staff",)
    with closing(opened(config)) as store:
        assert store.find_record("Ada") == SubjectRecord(mask="any")
    assert gallery("set", "--subject", "Joe", "--groups", "staff") == 1
    assert "'Joe' is not enrolled" in capsys.readouterr().err and list(at_door(config)) == ["Ada"]


def test_rights_need_the_account_of_the_door(
    gallery: Callable[..., int],
    config: TerminalConfig,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The recogniser's account owns the gallery, not the folder of the door."""
    monkeypatch.setattr(rights, "may_change", lambda config: False)
    assert gallery("set", "--subject", "Ada", "--groups", "staff") == 2
    assert "run this as root, or without rights" in capsys.readouterr().err
    assert gallery("set", "--subject", "Ada", "--mask", "any") == 0
    assert gallery("export", "--out", "people", "--subject", "Ada") == 2
    assert "the file takes the rights of people along" in capsys.readouterr().err
    assert gallery("show", "--subject", "Ada", "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["rights"] is None and "not readable by this account" in shown.err
    assert gallery("remove", "--subject", "Ada") == 0
    assert (
        "edge-door person list --not-enrolled, then edge-door person remove, as root"
        in capsys.readouterr().err
    )
    assert at_door(config) == {}


def test_remove_erases_person_at_the_door(
    gallery: Callable[..., int], config: TerminalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gallery("set", "--subject", "Ada", "--groups", "staff") == 0
    assert gallery("set", "--subject", "Eve", "--valid-until", "2031-01-01") == 0
    path = config.state.parent / "terminal.yaml"
    person = ["person", "remove", "Ada", "--reason", "a test", "--config", str(path)]
    assert door.main(person) == 1
    assert "Ada: enrolled, and a face without an entry" in capsys.readouterr().err
    with closing(opened(config)) as store:
        store.remove("Ada")  # as if the command was killed in between
    assert list(at_door(config)) == ["Ada", "Eve"]
    assert door.main(["person", "list", "--not-enrolled", "--config", str(path)]) == 0
    assert capsys.readouterr().out == "Ada  (staff)\n1 person\n"
    assert gallery("remove", "--subject", "Ada", "--subject", "Eve") == 0
    assert "Ada: not enrolled; removed from the door" in capsys.readouterr().out
    assert at_door(config) == {}


def test_remove_names_zones_without_a_door(
    gallery: Callable[..., int], config: TerminalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """The state of the zones may hold the name, also of a person without an entry."""
    config.zones_path.write_text('{"version": 1, "people": {"lab": {"ada": {}}}}')
    assert gallery("remove", "--subject", "Ada") == 1
    assert "start edge-door, then run edge-door erase-person" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["enroll", "set"])
def test_remove_keeps_person_enrolled_meanwhile(
    gallery: Callable[..., int], config: TerminalConfig, change: str
) -> None:
    """A face without an entry at the door has no limits."""
    assert gallery("set", "--subject", "Ada", "--valid-until", "2031-01-01") == 0
    with (
        pytest.raises(DoorError, match="1 entry not removed: enrolled again"),
        rights.remove_rights(config, ChangeAuthor("test", print)) as removal,
    ):
        removal.begin(["Ada", "Eve"])
        with closing(opened(config)) as store:
            store.remove("Ada")
            if change == "enroll":
                store.enroll("Ada", np.eye(2, EMBEDDING, dtype=np.float32))
        if change == "set":  # another command has begun to enroll the person
            with edit_credentials(config.people_path, config.people_key_path) as editor:
                editor.set_person("Ada", {"groups": ("staff",)})
        removal.erased.update({"Ada", "Eve"})
    assert at_door(config)["Ada"].valid_until == date(2031, 1, 1)


def test_door_keeps_person_enrolled_meanwhile(
    gallery: Callable[..., int], config: TerminalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gallery("set", "--subject", "Ada", "--valid-until", "2031-01-01") == 0
    with closing(opened(config)) as store:
        store.remove("Ada")

    def enroll_again(*arguments: object) -> None:
        with closing(opened(config)) as store:
            store.enroll("Ada", np.eye(2, EMBEDDING, dtype=np.float32))

    monkeypatch.setattr(door_people, "announce_change", enroll_again)
    path = config.state.parent / "terminal.yaml"
    given = ["person", "remove", "Ada", "--reason", "a test", "--config", str(path)]
    assert door.main(given) == 1
    assert at_door(config)["Ada"].valid_until == date(2031, 1, 1)


def test_expire_erases_person_at_the_door(
    gallery: Callable[..., int], config: TerminalConfig
) -> None:
    days = ["--erase-on", "2020-01-01", "--groups", "staff"]
    assert gallery("set", "--subject", "Ada", *days) == 0
    assert gallery("expire", "--dry-run") == 0 and list(at_door(config)) == ["Ada"]
    assert gallery("expire") == 0 and at_door(config) == {}


def test_export_takes_rights_along(
    gallery: Callable[..., int], config: TerminalConfig, tmp_path: Path
) -> None:
    (tmp_path / "passphrase").write_text("twelve and more\n")
    passphrase = ["--passphrase-file", str(tmp_path / "passphrase")]
    limits = ["--groups", "staff", "--valid-until", "2031-01-01"]
    assert gallery("set", "--subject", "Ada", *limits) == 0
    assert gallery("export", "--out", str(tmp_path / "people"), *passphrase) == 0
    assert gallery("import", str(tmp_path / "people"), *passphrase) == 1  # enrolled already
    assert gallery("remove", "--subject", "Ada", "--subject", "Eve") == 0
    assert gallery("import", str(tmp_path / "people"), *passphrase) == 0
    (ada,) = at_door(config).values()
    assert ada.rights == PersonRights(("staff",), valid_until=date(2031, 1, 1))
    with closing(opened(config)) as store:
        assert store.find_record("Ada") == SubjectRecord()


def test_export_and_restore_keep_visitor_limits(
    gallery: Callable[..., int], config: TerminalConfig, tmp_path: Path
) -> None:
    limits = PersonRights(max_uses=2, mode="pin-and-face", anti_passback_exempt=True)
    with edit_credentials(config.people_path, config.people_key_path) as editor:
        editor.set_rights({"Ada": limits})
    (tmp_path / "passphrase").write_text("twelve and more\n")
    passphrase = ["--passphrase-file", str(tmp_path / "passphrase")]
    assert gallery("export", "--out", str(tmp_path / "people"), *passphrase) == 0
    assert gallery("backup", str(tmp_path / "backup"), *passphrase) == 0
    assert gallery("remove", "--subject", "Ada", "--subject", "Eve") == 0
    assert gallery("import", str(tmp_path / "people"), *passphrase) == 0
    assert at_door(config)["Ada"].rights == limits
    config.people_path.unlink()
    config.people_key_path.unlink()
    assert gallery("restore", str(tmp_path / "backup"), "--replace", *passphrase) == 0
    with closing(opened(config)) as store:
        record = store.find_record("Ada")
        assert record is not None and record.unmoved_rights == limits and limits.is_limited
    assert gallery("move-rights") == 0 and at_door(config)["Ada"].rights == limits


def test_import_keeps_rights_in_the_gallery(
    gallery: Callable[..., int],
    config: TerminalConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "passphrase").write_text("twelve and more\n")
    given = [str(tmp_path / "people"), "--passphrase-file", str(tmp_path / "passphrase")]
    assert gallery("export", "--out", *given) == 0
    stored = SubjectRecord(unmoved_rights=PersonRights(valid_until=date(2031, 1, 1)))
    with closing(opened(config)) as store:
        store.update_attributes("Ada", stored)
    assert gallery("import", *given, "--replace") == 1
    assert "Ada: has rights in the gallery; run edge-gallery move-rights" in capsys.readouterr().err
    with closing(opened(config)) as store:
        assert store.find_record("Ada") == stored
    assert gallery("move-rights") == 0 and gallery("import", *given, "--replace") == 0
    assert at_door(config)["Ada"].valid_until == date(2031, 1, 1)


def test_move_rights_from_a_gallery_of_0_2_0(
    gallery: Callable[..., int], config: TerminalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = PersonRights(("staff", "night"), valid_until=date(2031, 1, 1), extended=True)
    with closing(opened(config)) as store:
        for name in ("Ada", "Eve"):
            store.update_attributes(name, SubjectRecord(mask="any", unmoved_rights=stored))
    limits = ["--groups", "night,day", "--valid-until", "2030-01-01"]
    assert gallery("set", "--subject", "Eve", *limits) == 0
    assert gallery("list") == 0 and "RIGHTS NOT MOVED" in capsys.readouterr().out
    assert gallery("move-rights", "--dry-run") == 0 and list(at_door(config)) == ["Eve"]
    assert gallery("move-rights") == 0
    assert "rights of 2 people moved to the door" in capsys.readouterr().out
    ada, eve = at_door(config)["Ada"], at_door(config)["Eve"]
    assert ada.rights == stored
    assert eve.rights == PersonRights(("night",), valid_until=date(2030, 1, 1), extended=True)
    with closing(opened(config)) as store:
        assert store.find_record("Ada") == SubjectRecord(mask="any") == store.find_record("Eve")
    assert gallery("move-rights") == 0 and "rights of 0 people" in capsys.readouterr().out


def test_expire_erases_without_printing_names(
    gallery: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert gallery("set", "--subject", "Ada", "--erase-on", "2020-01-01") == 0
    assert gallery("expire", "--dry-run") == 0 and "Ada: would be erased" in capsys.readouterr().out
    assert gallery("expire") == 0
    output = capsys.readouterr().out  # the timer's output is in the journal
    assert "1 person erased" in output and "Ada" not in output
    assert gallery("expire") == 0 and "no expired people to erase" in capsys.readouterr().out
    assert gallery("list", "--json") == 0 and list(json.loads(capsys.readouterr().out)) == ["Eve"]
    assert gallery("remove", "--subject", "Ada") == 1 and "not enrolled" in capsys.readouterr().err
    assert gallery("verify") == 0


def test_remove_several_checks_names_first(
    gallery: Callable[..., int], config: TerminalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gallery("remove", "--subject", "Ada", "--subject", "Joe") == 1
    assert "'Joe' is not enrolled" in capsys.readouterr().err
    with closing(opened(config)) as store:
        assert set(store.template_counts()) == {"Ada", "Eve"}
    assert gallery("remove", "--subject", "Ada", "--subject", "Eve") == 0
    with closing(opened(config)) as store:
        assert not store.template_counts()


def test_stats_json_counts_people_and_templates(
    gallery: Callable[..., int], bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gallery("stats", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["subjects"], shown["templates"], shown["without_consent"]) == (2, 3, 2)
    calibration = read_manifest(bundle_path).calibration
    assert shown["supported_templates"] == calibration.gallery_size


def test_export_import_and_key_rotation(
    gallery: Callable[..., int],
    config: TerminalConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "passphrase").write_text("twelve and more\n")
    passphrase = ["--passphrase-file", str(tmp_path / "passphrase")]
    assert (
        gallery("export", "--out", str(tmp_path / "people"), *passphrase, "--subject", "Ada") == 0
    )
    assert gallery("import", str(tmp_path / "people"), *passphrase) == 1
    assert "Ada: is enrolled already" in capsys.readouterr().err
    assert gallery("remove", "--subject", "Ada") == 0
    assert gallery("import", str(tmp_path / "people"), *passphrase) == 0
    assert gallery("rotate-key") == 0
    with closing(opened(config)) as store:
        assert store.template_counts() == {"Ada": 2, "Eve": 1}


@pytest.mark.parametrize("command", [["backup"], ["export", "--out"]])
def test_gallery_file_exists_needs_force(
    gallery: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    (tmp_path / "passphrase").write_text("twelve and more\n")
    more = [str(tmp_path / "file"), "--passphrase-file", str(tmp_path / "passphrase")]
    (tmp_path / "file").write_text("precious")
    assert gallery(*command, *more) == 2
    assert "exists; name another file, or replace it with --force" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "precious"
    assert gallery(*command, *more, "--force") == 0
    assert (tmp_path / "file").read_bytes() != b"precious"


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["set", "--subject", "Ada"], 2, "no attribute to set"),
        (["show", "--subject", "Joe"], 1, "'Joe' is not enrolled"),
        (
            ["import", "none", "--passphrase-file", "none"],
            2,
            "none: no such file; check the path",
        ),
        (
            ["import", "none", "--passphrase-file", "/dev/null"],
            2,
            "expected a passphrase in its first line",
        ),
        (["import", "none"], 2, "no terminal; use --passphrase-file FILE"),
    ],
)
def test_gallery_errors_are_one_sentence(
    gallery: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    code: int,
    message: str,
) -> None:
    assert gallery(command[0], *command[1:]) == code
    assert message in capsys.readouterr().err


def test_set_invalid_day_is_refused(
    gallery: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        gallery("set", "--subject", "Ada", "--valid-from", "tomorrow")
    assert "expected a day such as" in capsys.readouterr().err


def test_expire_clock_far_ahead_erases_no_one(
    gallery: Callable[..., int], config: TerminalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gallery("set", "--subject", "Ada", "--erase-on", "2026-01-01") == 0
    then = BUILT_AFTER  # what was believed last: the clock is far ahead of it
    config.clock_path.write_text(json.dumps({"latest": then, "confirmed": 0, "boot": ""}))
    capsys.readouterr()
    assert gallery("expire") == 1
    output = capsys.readouterr().err
    assert (
        "far-ahead" in output
        and "edge-door trust-clock" in output
        and "nothing was erased" in output
    )
    assert gallery("list") == 0 and "Ada" in capsys.readouterr().out


def test_expire_takes_confirmation_from_door(
    gallery: Callable[..., int], config: TerminalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gallery("set", "--subject", "Ada", "--erase-on", "2026-01-01") == 0
    kept = {"latest": time.time() + 20 * 86400, "confirmed": 0, "boot": ""}
    config.clock_path.write_text(json.dumps(kept))
    door = Door(config.socket_path.parent)
    try:
        assert gallery("expire") == 1
        client = DoorClient(door.path, timeout_s=5)
        until(lambda: client.command("trust-clock", "compared with my watch") is None)
        client.close()
        assert gallery("expire") == 0
    finally:
        door.stop()
    assert "1 person erased" in capsys.readouterr().out


def test_expire_failure_prints_no_name(
    gallery: Callable[..., int], config: TerminalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """The timer's output is in the journal. Others are erased, also from the door."""
    for name in ("Ada", "Eve"):
        given = ["--erase-on", "2020-01-01", "--groups", "staff"]
        assert gallery("set", "--subject", name, *given) == 0
    with closing(opened(config)) as store:
        ada = store.find_row("Ada")
        assert ada is not None
        store.db.execute(
            f"CREATE TRIGGER t BEFORE DELETE ON subjects WHEN old.id = {ada[0]} "
            "BEGIN SELECT raise(ABORT, 'no'); END"
        )
    capsys.readouterr()
    assert gallery("expire") == 1
    output = "".join(capsys.readouterr())
    assert "is not erased completely: no" in output and "1 person erased" in output
    assert "Ada" not in output and "Eve" not in output and list(at_door(config)) == ["Ada"]


def test_enroll_clock_untrusted_stores_no_consent(
    gallery: Callable[..., int], config: TerminalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """The date of a consent would be wrong: nothing is stored."""
    kept = {"latest": BUILT_AFTER, "confirmed": 0, "boot": ""}
    config.clock_path.write_text(json.dumps(kept))
    path = str(config.state.parent / "terminal.yaml")
    words = ["--subject", "Zoe", "--consent", "form 7", "zoe.jpg"]
    assert enroll.main(["--config", path, *words]) == 1
    assert "the clock is not trusted (far-ahead)" in capsys.readouterr().err
    assert gallery("list") == 0 and "Zoe" not in capsys.readouterr().out
