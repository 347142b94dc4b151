"""`edge-audit` on the audit logs of a terminal."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timezone
from pathlib import Path

import cv2
import numpy as np
import pytest

import edge
from edge.audit import formatting
from edge.audit.kinds import RecordEvent, RecordKind
from edge.audit.picture_store import PictureStore, list_pictures, picture_path
from edge.audit.reader import read_log
from edge.audit.sealing import picture_cipher, score_cipher
from edge.audit.segments import list_segments
from edge.audit.writer import AuditLogWriter
from edge.audit.writer_state import default_key_path, read_keys
from edge.cli.audit import main
from edge.config import TerminalConfig, load_config
from edge.door.events import DoorEventCode
from edge.gallery.key import load_key
from edge.gallery.store import open_store, read_evidence_key
from edge.system.wallclock import WallClock
from edge.values import Verdict

Call = Callable[..., tuple[int, str, str]]
BEGAN = 1.8e9
PACKAGE = Path(edge.__file__).parent


@pytest.fixture
def config(write_config: Callable[..., Path]) -> TerminalConfig:
    """Terminal with grants and pictures of Ada and Ben, and an operator command."""
    config = load_config(write_config(record={"verification_key_dir": "keys", "max_pictures": 9}))
    open_store(config, "m" * 64, load_key(config.key_path, create=True)).close()
    write_logs(config, read_evidence_key(config))
    return config


def write_logs(config: TerminalConfig, key: bytes) -> None:
    """Write both logs, one second between two records."""
    wall = itertools.count(BEGAN + 1).__next__
    decisions = AuditLogWriter(
        config.decisions_path,
        log_id="test/decisions",
        encrypt=score_cipher(key, "test").encrypt_text,
        wall=wall,
    )
    door = AuditLogWriter(config.door_record_path, log_id="test/door", wall=wall)
    shots = PictureStore(
        config.pictures_path, 9, 30, picture_cipher(key, "test"), WallClock(read=lambda: BEGAN)
    )
    granted = {"kind": "decision", "verdict": "grant", "reason": "match", "score": 0.9, "votes": 3}
    unlocked = {"event": "unlocked", "reason": "grant", "latches": []}
    for subject in ("Ada", "Ben", "Ada", "Ben"):
        number = decisions.append({**granted, "subject": subject})
        door.append({**unlocked, "subject": subject, "record_id": number})
        shots.save(number, np.full((8, 8, 3), number, np.uint8))
    command = {"event": "operator-command", "reason": "hold", "latches": []}
    door.append({**command, "operator": "guard", "user": "Una", "note": "=1+1"})
    decisions.close()
    door.close()


@pytest.fixture
def audit(config: TerminalConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(command: str, *arguments: str) -> tuple[int, str, str]:
        code = main([command, "--config", str(tmp_path / "terminal.yaml"), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_show_merges_logs_by_time(audit: Call) -> None:
    code, said, _ = audit("show")
    heading, *lines = said.splitlines()
    assert heading.split() == [
        "time",
        "record",
        "id",
        "what",
        "reason",
        "who",
        "liveness",
        "details",
    ]
    assert code == 0 and len(lines) == 9
    assert [line.split()[2] for line in lines] == ["decisions", "door"] * 4 + ["door"]
    assert (
        "2027-01-15 08:00:01" in lines[0]
        and "Ada" in lines[0]
        and "score 0.9" in lines[0]
        and '"=1+1"' in lines[-1]
    )


def test_show_options_select_records(audit: Call) -> None:
    assert len(audit("show", "--record", "door")[1].splitlines()) == 6
    assert len(audit("show", "--subject", "Ben")[1].splitlines()) == 5
    assert len(audit("show", "--kind", "unlocked", "--since", "2")[1].splitlines()) == 3
    newest = json.loads(audit("show", "--last", "1", "--json")[1])
    assert newest["record"] == "door" and newest["operator"] == "guard"


def test_show_without_gallery_key_redacts(audit: Call, config: TerminalConfig) -> None:
    shown = json.loads(audit("show", "--record", "decisions", "--last", "1", "--json")[1])
    assert shown["score"] == 0.9 and shown["votes"] == 3 and "sealed" not in shown
    raw = b"".join(path.read_bytes() for path in list_segments(config.decisions_path))
    assert b'"score"' not in raw and b'"votes"' not in raw and b'"subject":"Ada"' in raw
    config.key_path.unlink()
    shown = json.loads(audit("show", "--record", "decisions", "--last", "1", "--json")[1])
    assert shown["sealed"] == "redacted" and shown["subject"] == "Ben" and "score" not in shown
    config.key_path.write_bytes(bytes(32))
    config.key_path.chmod(0o600)
    assert (
        json.loads(audit("show", "--record", "decisions", "--last", "1", "--json")[1])["sealed"]
        == "redacted"
    )


def test_show_picture_is_decrypted(audit: Call, config: TerminalConfig, tmp_path: Path) -> None:
    out = tmp_path / "seen.png"
    assert audit("show", "--picture", "3", "--out", str(out))[0] == 0
    assert cv2.imread(str(out)).mean() == 3 and out.stat().st_mode & 0o077 == 0
    assert "no picture of record 7" in audit("show", "--picture", "7", "--out", str(out))[2]
    assert audit("show", "--picture", "3")[0] == 2
    config.key_path.unlink()
    assert "run this as root" in audit("show", "--picture", "3", "--out", str(out))[2]


def test_export_continues_after_since(audit: Call, config: TerminalConfig, tmp_path: Path) -> None:
    out = tmp_path / "door.jsonl"
    code, said, _ = audit("export", "--record", "door", "--out", str(out))
    assert code == 0 and said == "next export: --since 5\n" and out.stat().st_mode & 0o077 == 0
    exported = [json.loads(line) for line in out.read_text().splitlines()]
    assert [r["id"] for r in exported] == [1, 2, 3, 4, 5] and exported[0]["subject"] == "Ada"
    log = AuditLogWriter(config.door_record_path, log_id="test/door")
    log.append({"event": "stopped", "reason": "locked", "latches": []})
    log.close()
    code, said, err = audit("export", "--record", "door", "--since", "5")
    assert [json.loads(line)["id"] for line in said.splitlines()] == [
        6
    ] and err == "next export: --since 6\n"
    assert audit("export", "--record", "door", "--since", "6")[1:] == (
        "",
        "next export: --since 6\n",
    )


def test_export_csv_has_no_formula(audit: Call, tmp_path: Path) -> None:
    out = tmp_path / "door.csv"
    assert audit("export", "--record", "door", "--format", "csv", "--out", str(out))[0] == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["what"] for row in rows] == ["unlocked"] * 4 + ["operator-command"] and rows[-1][
        "note"
    ] == "'=1+1"


def test_verify_names_line_of_a_change(audit: Call, config: TerminalConfig) -> None:
    code, said, _ = audit("verify")
    assert code == 0 and said.count("chain and MACs fit") == 2 and "only a checkpoint shows" in said
    path = list_segments(config.door_record_path)[0]
    path.write_bytes(path.read_bytes().replace(b'"record_id":3', b'"record_id":1'))
    code, said, _ = audit("verify")
    assert code == 1 and "FOUND 000000001.log, line 3: changed: record 3" in said
    code, said, _ = audit("verify", "--record", "door", "--json")
    assert code == 1 and [each["id"] for each in json.loads(said)["door"]["findings"]] == [3]
    assert audit("verify", "--record", "decisions")[0] == 0


def test_verify_without_key_states_its_limit(audit: Call, config: TerminalConfig) -> None:
    default_key_path(config.door_record_path).unlink()
    code, said, _ = audit("verify", "--record", "door")
    assert code == 0 and "only the chain was checked" in said
    assert "(`record.verification_key_dir`) from your backup" in said
    default_key_path(config.door_record_path).write_text("nonsense\n")
    code, _, err = audit("verify", "--record", "door")
    assert code == 1 and "expected lines of a record id" in err


def test_checkpoint_shows_truncated_log(
    audit: Call, config: TerminalConfig, tmp_path: Path
) -> None:
    out = tmp_path / "checkpoint.json"
    assert audit("checkpoint", "--record", "door", "--out", str(out))[0] == 0
    public = audit("checkpoint", "--record", "door", "--public-key")[1].strip()
    assert json.loads(out.read_text())["id"] == 5 and len(bytes.fromhex(public)) == 32
    code, said, _ = audit("verify", "--checkpoint", str(out))
    assert code == 0 and said.count("only a checkpoint shows") == 1
    path, state = list_segments(config.door_record_path)[0], config.door_record_path / "state"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    state.unlink()
    log = AuditLogWriter(
        config.door_record_path, log_id="test/door"
    )  # the attacker lets a new chain begin
    log.close()
    assert (
        "FOUND the end: truncated: records 4 to 5"
        in audit("verify", "--record", "door", "--checkpoint", str(out))[1]
    )
    default_key_path(config.door_record_path).unlink()
    code, said, err = audit(
        "verify", "--record", "door", "--checkpoint", str(out), "--public-key", public
    )
    assert code == 1 and "records 4 to 5" in said and err == ""
    assert "signature was not checked" in audit("verify", "--checkpoint", str(out))[2]


def test_changed_checkpoint_is_refused(audit: Call, tmp_path: Path) -> None:
    out = tmp_path / "checkpoint.json"
    audit("checkpoint", "--record", "door", "--out", str(out))
    original = out.read_text()
    for changed in (
        original.replace('"id": 5', '"id": 4'),
        original.replace("test/door", "test/decisions"),
    ):
        out.write_text(changed)
        code, _, err = audit("verify", "--checkpoint", str(out))
        assert code == 1 and "signature is not by this log's key" in err
    out.write_text(original.replace("test/door", "lobby/door"))
    assert (
        "is of lobby/door, expected one of test/decisions, test/door"
        in audit("verify", "--checkpoint", str(out))[2]
    )
    out.write_text("{}")
    assert (
        "expected a file made by `edge-audit checkpoint`"
        in audit("verify", "--checkpoint", str(out))[2]
    )
    assert audit("verify", "--checkpoint", str(tmp_path / "none"))[0] == 2


def test_verify_copy_without_config(
    audit: Call, config: TerminalConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit("checkpoint", "--record", "door", "--out", str(tmp_path / "checkpoint.json"))
    key, copy = default_key_path(config.door_record_path), tmp_path / "copy"
    shutil.copytree(config.door_record_path, copy)

    def verify(*arguments: str) -> tuple[int, str]:
        code = main(["verify", "--folder", str(copy), *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    code, said = verify()
    assert code == 0 and "copy: 5 records" in said and "only the chain was checked" in said
    code, said = verify("--key", str(key), "--checkpoint", str(tmp_path / "checkpoint.json"))
    assert code == 0 and "chain and MACs fit" in said and "only a checkpoint shows" not in said
    other = default_key_path(config.decisions_path)
    assert verify("--key", str(other))[0] == 1 and "a wrong key" in verify("--key", str(other))[1]
    assert verify("--key", str(tmp_path / "none"))[1].endswith(
        "name the verification keys that edge-audit init made, or omit --key\n"
    )
    path = list_segments(copy)[-1]
    path.write_bytes(path.read_bytes().replace(b'"record_id":3', b'"record_id":1'))
    assert verify()[0] == 1 and "FOUND" in verify()[1]
    code = main(["verify", "--folder", str(tmp_path)])
    assert code == 1 and "a folder of files such as 000000001.log" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--folder", "x", "--config", "y"],
        ["--config", "y", "--key", "x"],
        ["--folder", "x", "--record", "door"],
    ],
)
def test_verify_folder_and_config_exclude(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", *arguments])
    assert ended.value.code == 2


def test_checkpoint_of_invalid_id_is_refused(audit: Call, tmp_path: Path) -> None:
    out = tmp_path / "checkpoint.json"
    audit("checkpoint", "--record", "door", "--out", str(out))
    original = out.read_text()
    for text in (
        "[" * 3000,
        *(original.replace('"id": 5', f'"id": {number}') for number in (0, -1, "true", 10**30)),
    ):
        out.write_text(text)
        assert (
            "expected a file made by `edge-audit checkpoint`"
            in audit("verify", "--checkpoint", str(out))[2]
        )


def test_show_invalid_id_and_time_are_rows(
    audit: Call, config: TerminalConfig, tmp_path: Path
) -> None:
    path = list_segments(config.door_record_path)[-1]
    original = path.read_bytes()
    for wall in (b'"x"', b"null", b"[]", b"1" + b"0" * 400, b"NaN"):
        strange = b'{"id":"x","wall":%b,"event":"strange","commit":""}\t{"sealed":"x"}\n' % wall
        path.write_bytes(strange + original)
        code, said, _ = audit("show")
        assert code == 0 and len(said.splitlines()) == 11 and "strange" in said
        assert audit("export", "--record", "door", "--out", str(tmp_path / "door.jsonl"))[0] == 0
        assert audit("erase", "--before", "2020-01-31", "--dry-run")[0] == 0


def test_show_escapes_control_characters(audit: Call, config: TerminalConfig) -> None:
    log = AuditLogWriter(config.door_record_path, log_id="test/door")
    log.append(
        {
            "event": "operator-command",
            "operator": "guard",
            "note": "why\n2027-01-15 08:00:01  door \x1b[1A\x1b[2K",
            "latches": [],
        }
    )
    log.close()
    said = audit("show", "--record", "door")[1]
    assert (
        len(said.splitlines()) == 7 and "\x1b" not in said and r"why\n2027" in said.splitlines()[-1]
    )


def test_checkpoint_of_bad_log_needs_force(audit: Call, config: TerminalConfig) -> None:
    path = list_segments(config.door_record_path)[0]
    path.write_bytes(path.read_bytes().replace(b'"record_id":3', b'"record_id":1'))
    code, said, err = audit("checkpoint", "--record", "door")
    assert code == 1 and said == "" and "1 findings" in err
    assert audit("checkpoint", "--record", "door", "--force")[0] == 0


def test_erase_subject_in_both_logs_with_pictures(audit: Call, config: TerminalConfig) -> None:
    code, said, _ = audit("erase", "--subject", "Ada", "--dry-run")
    assert (
        code == 0
        and "decisions: 2 personal parts would be erased, 2 pictures" in said
        and "door: 2 " in said
    )
    assert list_pictures(config.pictures_path) == [1, 2, 3, 4]
    assert (
        "decisions: 2 personal parts are erased, 2 pictures are removed"
        in audit("erase", "--subject", "Ada")[1]
    )
    for folder in (config.decisions_path, config.door_record_path):
        assert b"Ada" not in b"".join(path.read_bytes() for path in list_segments(folder))
        assert {r.get("subject") for r in read_log(folder)} == {None, "Ben"}
    assert list_pictures(config.pictures_path) == [2, 4]
    code, said, _ = audit("verify")
    assert code == 0 and said.count("2 personal parts are erased, 0 by retention, 2 otherwise") == 2
    assert "(erased)" in audit("show", "--last", "9")[1]
    assert "door: 1 " in audit("erase", "--subject", "Una", "--dry-run")[1]
    assert "door: 1 " in audit("erase", "--subject", "guard")[1]


def test_erase_before_a_day(audit: Call) -> None:
    assert "door: 0 " in audit("erase", "--before", "2027-01-15")[1]
    assert "door: 5 " in audit("erase", "--before", "2027-01-16")[1]
    assert audit("verify")[0] == 0
    with pytest.raises(SystemExit) as ended:
        audit("erase", "--before", "yesterday")
    assert ended.value.code == 2


def test_init_moves_keys_of_the_processes(
    audit: Call, config: TerminalConfig, tmp_path: Path
) -> None:
    assert default_key_path(config.door_record_path).exists()
    code, said, _ = audit("init")
    assert code == 0 and said.count("1 verification key made by the process moved there") == 2
    assert (
        not default_key_path(config.door_record_path).exists()
        and (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    )
    assert (
        len(read_keys(tmp_path / "keys" / "door.key")) == 1
        and (tmp_path / "keys" / "door.key").stat().st_mode & 0o077 == 0
    )
    assert audit("init")[1].count("exists") == 2
    assert audit("verify")[1].count("chain and MACs fit") == 2
    (config.door_record_path / "state").unlink()
    log = AuditLogWriter(config.door_record_path, log_id="test/door")
    log.append({"event": "started", "latches": []})
    log.close()
    audit("init")
    assert [key.first_id for key in read_keys(tmp_path / "keys" / "door.key")] == [1, 6]
    assert [
        each["code"] for each in json.loads(audit("verify", "--json")[1])["door"]["findings"]
    ] == ["new-chain"]


def test_init_lost_key_names_remedy(audit: Call, config: TerminalConfig) -> None:
    default_key_path(config.decisions_path).unlink()
    code, _, err = audit("init")
    assert code == 1 and "restore it from your backup" in err


@pytest.mark.parametrize("keys", ["keys", None])
def test_init_state_holds_no_verification_key(
    write_config: Callable[..., Path], tmp_path: Path, keys: str
) -> None:
    path = write_config(record={"verification_key_dir": keys})
    config = load_config(path)
    assert main(["init", "--config", str(path)]) == 0
    log = AuditLogWriter(config.door_record_path, log_id="test/door")
    log.append({"event": "started", "latches": []})
    log.close()
    assert default_key_path(config.door_record_path).exists() == (keys is None)
    assert config.state.stat().st_mode & 0o067 == 0  # a group may only pass through
    first = read_keys(config.record_key_path(config.door_record_path))[0].key
    if keys:
        assert first not in b"".join(p.read_bytes() for p in config.state.rglob("*") if p.is_file())
    assert main(["verify", "--config", str(path)]) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_init_as_root_makes_files_of_owner(
    write_config: Callable[..., Path], tmp_path: Path
) -> None:
    """State and folder belong to the account, the key to root; root does not follow its links."""
    account = 65534
    path = write_config(record={"verification_key_dir": "keys"})
    config = load_config(path)
    config.state.mkdir(mode=0o700)
    os.chown(config.state, account, account)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:  # pytest makes its folders private
            folder.chmod(0o755)
    assert main(["init", "--config", str(path)]) == 0
    assert (config.door_record_path / "state").stat().st_uid == account and (
        tmp_path / "keys" / "door.key"
    ).stat().st_uid == 0
    precious = tmp_path / "precious"
    precious.write_text("root's")
    precious.chmod(0o600)
    (config.decisions_path / "000000001.log").symlink_to(precious)
    assert main(["erase", "--config", str(path), "--before", "2030-01-01"]) == 1
    assert precious.read_text() == "root's"


def test_records_are_followed_as_they_come(config: TerminalConfig, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "edge.cli.audit",
        "follow",
        "--config",
        str(tmp_path / "terminal.yaml"),
        "--record",
        "door",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        log = AuditLogWriter(config.door_record_path, log_id="test/door")
        assert following.stdout is not None
        os.set_blocking(following.stdout.fileno(), True)
        for _ in range(200):  # until it has begun
            log.append({"event": "fire", "reason": "input", "latches": []}, durable=False)
            if _ready(following.stdout.fileno()):
                break
        assert following.stdout.readline().startswith("time ")
        said = following.stdout.readline()
        following.terminate()
        following.stdout.read()
        log.close()
    assert "door" in said and "fire" in said and "input" in said


def _ready(fd: int) -> bool:
    import select

    return bool(select.select([fd], [], [], 0.05)[0])


def test_verify_folder_as_segment_is_found(audit: Call, config: TerminalConfig) -> None:
    path = list_segments(config.door_record_path)[0]
    path.unlink()
    path.mkdir()
    code, said, _ = audit("verify", "--record", "door")
    assert code == 1 and "FOUND 000000001.log: not-a-segment: it is a link, folder" in said


def test_show_time_is_local_with_offset(audit: Call, write_config: Callable[..., Path]) -> None:
    write_config(
        record={"verification_key_dir": "keys", "max_pictures": 9},
        door={"schedule": {"time_zone": "Asia/Tokyo"}},
    )
    assert "2027-01-15 17:00:01+09:00" in audit("show")[1]


def test_show_unknown_kind_lists_kinds(audit: Call) -> None:
    code, said, err = audit("show", "--kind", "unlockd")
    assert code == 2 and not said
    assert "unknown kind; expected one of" in err and "unlocked" in err and "decision" in err
    assert audit("follow", "--kind", "unlockd")[0] == 2


def test_show_kind_without_records_is_empty(audit: Call) -> None:
    assert audit("show", "--kind", "camera-lost")[:2] == (0, "")


def test_show_unknown_subject_is_an_error(audit: Call) -> None:
    code, said, err = audit("show", "--subject", "Zoe")
    assert code == 1 and not said and "no record of subject 'Zoe'" in err


@pytest.mark.parametrize(
    ("liveness", "words"),
    [
        ("no PAD", "no PAD"),
        ({"motion": "passed", "screen": "passed"}, "passed"),
        ({"motion": "passed", "screen": "failed"}, "motion passed screen failed"),
        ({}, ""),
    ],
)
def test_show_liveness_is_in_words(liveness: object, words: str) -> None:
    row = formatting.table_line("decisions", {"wall": BEGAN, "liveness": liveness}, timezone.utc)
    assert row == formatting.table_line(
        "decisions", {"wall": BEGAN, "liveness": words}, timezone.utc
    )
    assert "{" not in row


def test_show_longest_code_keeps_columns() -> None:
    heading = formatting.table_heading()
    for kind in (*DoorEventCode, *RecordKind, *RecordEvent, *Verdict):
        record = {"wall": BEGAN, "id": 1, "event": kind, "reason": "why"}
        row = formatting.table_line("door", record, timezone.utc)
        assert row.index("why") == heading.index("reason"), kind


def test_kinds_and_events_are_enum_members() -> None:
    """The options accept every kind and event that the two processes write."""
    sources = {
        path: path.read_text(encoding="utf-8")
        for folder in ("door", "audit", "gallery", "recogniser")
        for path in (PACKAGE / folder).rglob("*.py")
    }
    literal = re.compile(r'(?:DoorEvent|_event)\(\s*"[a-z-]+"|"(?:kind|event)": "[a-z-]+"')
    assert [path.name for path, source in sources.items() if literal.search(source)] == []
    assert any('"kind": RecordKind.CAMERA' in source for source in sources.values())


@pytest.mark.parametrize("plant", ["fifo", "link", "sparse", "newlines", "jumps"])
def test_verify_hostile_segment_is_found(audit: Call, config: TerminalConfig, plant: str) -> None:
    """Each missing number costs a derivation step of the key."""
    path = config.door_record_path / "000000900.log"
    if plant == "fifo":
        os.mkfifo(path)
    elif plant == "link":
        path.symlink_to("/dev/zero")
    elif plant == "sparse":
        with path.open("wb") as file:
            file.truncate(200 << 30)
    elif plant == "newlines":
        path.write_bytes(b"\n" * (2 << 20))
    else:
        line = b'{"id":%d,"hash":"' + b"0" * 64 + b'","mac":"' + b"0" * 32 + b'"}\t\n'
        path.write_bytes(b"".join(line % (i * 9_000_000) for i in range(1, 600)))
    code, said, _ = audit("verify", "--record", "door")
    assert code == 1 and "000000900.log" in said
    code, said, err = audit("show", "--record", "door")
    assert code == 0 and len(said.splitlines()) >= 6
    assert ("000000900.log: left out" in err) is (plant in ("fifo", "link", "sparse"))


def test_verify_fifo_as_state_is_found(audit: Call, config: TerminalConfig) -> None:
    state = config.door_record_path / "state"
    state.unlink()
    os.mkfifo(state)
    code, said, _ = audit("verify", "--record", "door")
    assert code == 1 and "FOUND state: state" in said


def test_picture_as_link_is_refused(audit: Call, config: TerminalConfig, tmp_path: Path) -> None:
    picture = picture_path(config.pictures_path, 3)
    picture.unlink()
    picture.symlink_to("/dev/zero")
    code, _, err = audit("show", "--picture", "3", "--out", str(tmp_path / "seen.png"))
    assert code == 1 and "expected a regular file" in err


def test_erase_before_ignores_clock_in_doubt(audit: Call, config: TerminalConfig) -> None:
    """A clock at 1970 for a moment makes no record old."""
    log = AuditLogWriter(config.door_record_path, log_id="test/door", wall=lambda: 0.0)
    log.append({"event": "unlocked", "subject": "Cleo", "latches": []})
    log.close()
    assert "door: 0 personal parts" in audit("erase", "--before", "2027-01-01", "--dry-run")[1]
    assert "door: 6 personal parts" in audit("erase", "--before", "2027-01-20", "--dry-run")[1]


@pytest.mark.parametrize("number", ["-1", "many", "9" * 5000])
def test_show_last_invalid_number_is_usage_error(audit: Call, number: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        audit("show", "--last", number)
    assert stopped.value.code == 2


def test_export_keeps_fifo_in_place(audit: Call, tmp_path: Path) -> None:
    fifo = tmp_path / "null"  # stands for a device, which root could replace by a file
    os.mkfifo(fifo)
    code, _, said = audit("export", "--record", "door", "--out", str(fifo))
    assert code == 1 and "expected a file or nothing yet" in said
    assert fifo.is_fifo()


def test_audit_init_keys_unset_names_next_step(
    write_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config()
    for state in ("made", "exists"):
        assert main(["init", "--config", str(path)]) == 0
        said = capsys.readouterr().out
        assert f"decisions.key: {state}" in said and "still to do: " in said
        assert said.count("set `record.verification_key_dir`") == 1
