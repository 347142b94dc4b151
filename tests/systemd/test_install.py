"""Installer in staging roots: created files, kept files, consistent paths."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edge.config import load_config
from tests.processes import TIMEOUT_S
from tests.scripts import terminal_commands

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
CHECKOUT = SYSTEMD.parent
SCRIPTS = ("install.sh", "uninstall.sh")
SERVICES = ("edge-door.service", "edge-daemon.service")
INSTANCES = ("edge-door@lane1.service", "edge-daemon@lane1.service")
CONSOLE = "edge-console.service"
KEY_BYTES = 32

CONFIG, KEY = "etc/mfsa-edge/terminal.yaml", "etc/mfsa-edge/gallery.key"
DROP_INS = "etc/systemd/system/edge-daemon.service.d"
LANE_DROP_INS = "etc/systemd/system/edge-daemon@.service.d"
PLAIN = {
    "etc/sysusers.d/mfsa-edge.conf": "mfsa-edge.sysusers",
    "etc/tmpfiles.d/mfsa-edge.conf": "mfsa-edge.tmpfiles",
    "etc/udev/rules.d/60-mfsa-edge.rules": "60-mfsa-edge.rules",
    "etc/systemd/system/edge-door.service": "edge-door.service",
    "etc/systemd/system/edge-daemon.service": "edge-daemon.service",
    "etc/systemd/system/edge-door@.service": "edge-door@.service",
    "etc/systemd/system/edge-daemon@.service": "edge-daemon@.service",
    "etc/systemd/system/edge-expire.service": "edge-expire.service",
    "etc/systemd/system/edge-expire.timer": "edge-expire.timer",
    CONFIG: "terminal.yaml",
}
EXTRA = {
    f"{folder}/{name}": f"drop-ins/{name}"
    for folder in (DROP_INS, LANE_DROP_INS)
    for name in ("jetson.conf", "network-camera.conf")
}
OF_CONSOLE = {
    "etc/sysusers.d/mfsa-console.conf": "mfsa-console.sysusers",
    "etc/tmpfiles.d/mfsa-console.conf": "mfsa-console.tmpfiles",
    "etc/systemd/system/edge-console.service": "edge-console.service",
    "etc/systemd/system/edge-people.socket": "edge-people.socket",
    "etc/systemd/system/edge-people@.service": "edge-people@.service",
}
OF_KIOSK = {
    "etc/sysusers.d/mfsa-kiosk.conf": "mfsa-kiosk.sysusers",
    "etc/systemd/system/edge-kiosk.service": "edge-kiosk.service",
}
EXTRA |= OF_CONSOLE | OF_KIOSK
EVERYTHING = ("--extras", "jetson,console", "--network-camera", "--kiosk")

Tree = dict[str, tuple[int, str]]


def call(
    script: str, *arguments: str | Path, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script with a strict umask and empty standard input; `path` precedes PATH."""
    search = os.environ["PATH"] if path is None else f"{path}:{os.environ['PATH']}"
    return subprocess.run(
        [SYSTEMD / script, *arguments],
        env={**os.environ, "PATH": search, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        umask=0o077,
    )


def install(root: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return call("install.sh", "--root", root, "--no-program", *arguments)


def uninstall(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return call("uninstall.sh", "--root", root, *arguments)


def tree(root: Path) -> Tree:
    """Return mode and digest of every file."""
    return {
        str(path.relative_to(root)): (
            stat.S_IMODE(path.stat().st_mode),
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in root.rglob("*")
        if path.is_file()
    }


def steps(output: str, word: str) -> set[str]:
    """Return the subjects of the lines that start with a word."""
    return {found.group(1) for found in re.finditer(rf"^{word} +(\S+?)[;,]?(?: |$)", output, re.M)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Bundle files that only their owner can read, as from a workstation."""
    path = tmp_path / "bundle"
    path.mkdir(mode=0o700)
    write_bundle(path, "the first embedder.onnx")
    for file in path.iterdir():
        file.chmod(0o600)
    return path


def write_bundle(path: Path, embedder: str) -> None:
    digest = hashlib.sha256(embedder.encode()).hexdigest()
    (path / "embedder.onnx").write_text(embedder)
    (path / "LICENSE").write_text("a licence")
    (path / "manifest.json").write_text(
        json.dumps({"files": {"embedder.onnx": {"sha256": digest}}})
    )


@pytest.fixture(scope="module")
def paths() -> dict[str, str]:
    """Return the paths of the scripts."""
    names = (
        "PROGRAM",
        "BUNDLE",
        "SETTINGS",
        "CONFIG",
        "KEY",
        "STATE",
        "GALLERY",
        "DOOR_STATE",
        "CONSOLE_STATE",
    )
    script = '. "$0"; for name; do printf "%s=%s\\n" "$name" "${!name}"; done'
    said = subprocess.run(
        ["bash", "-euc", script, SYSTEMD / "lib.sh", *names],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in said.stdout.splitlines())


def test_files_are_installed_with_their_modes(root: Path) -> None:
    done = install(root, *EVERYTHING)
    assert done.returncode == 0, done.stderr
    found = tree(root)
    assert set(found) == {*PLAIN, *EXTRA, KEY}
    for name, source in (PLAIN | EXTRA).items():
        assert found[name] == (
            0o644,
            hashlib.sha256((SYSTEMD / source).read_bytes()).hexdigest(),
        ), name
    assert found[KEY][0] == 0o600
    assert {stat.S_IMODE(p.stat().st_mode) for p in root.rglob("*") if p.is_dir()} == {0o755}


def test_commands_are_linked_and_unlinked(root: Path) -> None:
    """Links are on every account's path; the file of another program stays."""
    other = root / "usr/local/bin/edge-bench"
    other.parent.mkdir(parents=True)
    other.write_text("another program")
    done = install(root)
    assert "edge-bench: belongs to another program" in done.stderr
    linked = {path.name: str(path.readlink()) for path in other.parent.iterdir() if path != other}
    assert linked["edge-door"] == "/opt/mfsa-edge/bin/edge-door"
    assert set(linked) == terminal_commands() - {"edge-bench"}
    uninstall(root)
    assert [path.name for path in other.parent.iterdir()] == ["edge-bench"]


def test_drop_ins_and_console_are_optional(root: Path) -> None:
    assert install(root).returncode == 0
    assert not (root / DROP_INS).exists()
    assert not OF_CONSOLE.keys() & tree(root).keys()


@pytest.mark.parametrize(
    ("wanted", "extras"),
    [
        ("cpu,mqtt", "cpu,console,mqtt"),
        ("readers", "cpu,readers"),
        ("cpu,readers", "cpu,readers"),
        ("jetson,readers", "jetson,readers"),
        ("console", "cpu,console"),
        ("console,jetson,readers", "jetson,readers,console"),
    ],
)
def test_extras_join_the_base(root: Path, wanted: str, extras: str) -> None:
    done = install(root, "--extras", wanted)
    assert done.returncode == 0 and f"it needs mfsa-edge[{extras}]" in done.stdout
    assert (root / DROP_INS / "jetson.conf").exists() == extras.startswith("jetson")


def test_second_install_changes_nothing(root: Path, bundle: Path) -> None:
    first = install(root, *EVERYTHING, "--bundle", bundle)
    before = tree(root)
    second = install(root, *EVERYTHING, "--bundle", bundle)
    assert second.returncode == 0 and tree(root) == before
    assert steps(second.stdout, "made") == set()
    assert (
        steps(second.stdout, "unchanged")
        == steps(first.stdout, "made")
        >= {f"/{name}" for name in PLAIN}
    )


def test_services_of_lanes_stay_enabled(root: Path) -> None:
    """An update enables no service that the operator replaced by instances."""
    first = install(root)
    assert re.search(r"enable edge-expire\.timer edge-daemon\.service edge-door\.", first.stdout)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    for name in INSTANCES:
        (wants / name).symlink_to(f"/etc/systemd/system/{name.replace('lane1', '')}")
    done = install(root)
    assert re.search(r"enable edge-expire\.timer$", done.stdout, re.M)
    assert f"systemctl start {' '.join(INSTANCES)} edge-expire.timer" in done.stdout


def test_changed_unit_is_replaced(root: Path) -> None:
    install(root)
    unit = root / "etc/systemd/system/edge-door.service"
    before = tree(root)
    unit.write_text("[Service]\n")
    unit.chmod(0o666)
    assert steps(install(root).stdout, "made") == {"/etc/systemd/system/edge-door.service"}
    assert tree(root) == before


def test_masked_unit_stays_masked(root: Path) -> None:
    unit = root / "etc/systemd/system/edge-daemon.service"
    unit.parent.mkdir(parents=True)
    unit.symlink_to("/dev/null")
    done = install(root)
    assert (
        done.returncode == 1
        and "found a link to /dev/null" in done.stderr
        and "unmask" in done.stderr
    )
    assert unit.is_symlink()


@pytest.mark.parametrize(
    "name", [CONFIG, f"{DROP_INS}/network-camera.conf", f"{LANE_DROP_INS}/network-camera.conf"]
)
def test_edited_files_are_kept(root: Path, name: str) -> None:
    install(root, *EVERYTHING)
    (root / name).write_text("# mine\n")
    done = install(root, *EVERYTHING)
    assert (root / name).read_text() == "# mine\n"
    assert (root / f"{name}.sample").read_bytes() == (SYSTEMD / (PLAIN | EXTRA)[name]).read_bytes()
    assert steps(done.stdout, "made") == {f"/{name}.sample"}
    before = tree(root)
    assert steps(install(root, *EVERYTHING).stdout, "made") == set() and tree(root) == before


def test_key_is_random_and_not_printed(tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        done = install(tmp_path / name)
        key = (tmp_path / name / KEY).read_bytes()
        assert len(key) == KEY_BYTES
        said = done.stdout + done.stderr
        assert key.hex() not in said.lower() and base64.b64encode(key).decode() not in said
        keys.append(key)
    assert keys[0] != keys[1]
    assert [
        p.name for p in (tmp_path / "one" / KEY).parent.iterdir() if p.name.startswith(".")
    ] == []


def test_existing_key_is_kept(root: Path) -> None:
    install(root)
    key = root / KEY
    key.write_bytes(bytes(range(KEY_BYTES)))
    before = key.stat()
    assert install(root).returncode == 0
    after = key.stat()
    assert key.read_bytes() == bytes(range(KEY_BYTES))
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_mode,
    )


def test_readable_key_is_reported(root: Path) -> None:
    install(root)
    (root / KEY).chmod(0o644)
    done = install(root)
    assert done.returncode == 0 and "expected mode 600, found 644" in done.stderr


@pytest.mark.parametrize("content", [b"", b"x" * (KEY_BYTES - 1), b"x" * (KEY_BYTES + 1)])
def test_key_of_wrong_size_is_refused(root: Path, content: bytes) -> None:
    (root / KEY).parent.mkdir(parents=True)
    (root / KEY).write_bytes(content)
    done = install(root)
    assert done.returncode == 1 and f"{len(content)} bytes; restore the right key" in done.stderr
    assert set(tree(root)) == {KEY}


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_new_key_for_old_gallery_is_refused(
    root: Path, paths: dict[str, str], dry: list[str]
) -> None:
    gallery = root / paths["GALLERY"].lstrip("/")
    gallery.parent.mkdir(parents=True)
    gallery.write_bytes(b"sealed")
    before = tree(root)
    done = install(root, *dry)
    assert done.returncode == 1
    assert (
        paths["KEY"] in done.stderr
        and paths["GALLERY"] in done.stderr
        and "Restore the key" in done.stderr
    )
    assert tree(root) == before


def test_dry_run_lists_all_steps(root: Path, bundle: Path) -> None:
    planned = install(root, *EVERYTHING, "--bundle", bundle, "--dry-run")
    assert planned.returncode == 0 and list(root.iterdir()) == []
    done = install(root, *EVERYTHING, "--bundle", bundle)
    assert steps(planned.stdout, "would make") == steps(done.stdout, "made") != set()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Replace the commands that would change this machine by ones that log their calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (
        "systemctl",
        "systemd-sysusers",
        "systemd-tmpfiles",
        "udevadm",
        "userdel",
        "groupdel",
    ):
        command = folder / name
        version = '[ "$1" = --version ] && echo "systemd 249 (249.11)" && exit'
        command.write_text(
            f'#!/bin/sh\n{version}\necho "{name} $*" >>"{tmp_path}/called"\nexit 1\n'
        )
        command.chmod(0o755)
    return folder


def test_dry_run_needs_no_root_and_calls_nothing(machine: Path, tmp_path: Path) -> None:
    done = call("install.sh", "--dry-run", "--no-program", path=machine)
    assert done.returncode == 0, done.stderr
    for command in (
        "systemd-sysusers",
        "systemd-tmpfiles --create",
        "/opt/mfsa-edge/bin/edge-audit init",
        "systemctl enable",
    ):
        assert re.search(rf"^would run +{command}", done.stdout, re.M), command
    done = call("uninstall.sh", "--dry-run", "--purge", path=machine)
    assert done.returncode == 0, done.stderr
    called = (tmp_path / "called").read_text().splitlines()
    assert {" ".join(line.split()[:2]) for line in called} <= {
        "systemctl is-enabled",
        "systemctl is-active",
    }


def test_old_systemd_is_refused(machine: Path) -> None:
    command = machine / "systemctl"
    command.write_text(command.read_text().replace("249", "245"))
    done = call("install.sh", "--dry-run", "--no-program", path=machine)
    assert done.returncode == 1 and "expected systemd 249 or newer, found 245" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="these tests run as root")
@pytest.mark.parametrize("script", SCRIPTS)
def test_install_without_root_is_refused(script: str) -> None:
    done = call(script, *(["--no-program"] if script == "install.sh" else []))
    assert (
        done.returncode == 1
        and "must run as root" in done.stderr
        and "sudo" in done.stderr
        and done.stdout == ""
    )


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("install.sh", ["--nope"]),
        ("install.sh", ["extra"]),
        ("install.sh", ["--root"]),
        ("install.sh", ["--root", ""]),
        ("install.sh", ["--root", "/", "--no-program"]),
        ("install.sh", ["--root", "no/such/folder", "--no-program"]),
        ("install.sh", ["--extras", "gpu"]),
        ("install.sh", ["--bundle"]),
        ("uninstall.sh", ["--nope"]),
        ("uninstall.sh", ["--root"]),
        ("uninstall.sh", ["--root", "/"]),
    ],
)
def test_wrong_usage_prints_usage(script: str, arguments: list[str]) -> None:
    done = call(script, *arguments)
    assert (
        done.returncode == 2
        and f"usage: sudo systemd/{script}" in done.stderr
        and done.stdout == ""
    )


def test_staged_program_is_refused(root: Path) -> None:
    done = call("install.sh", "--root", root)
    assert done.returncode == 2 and "--root needs --no-program" in done.stderr and tree(root) == {}


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_every_option(script: str) -> None:
    done = call(script, "--help")
    parsed = set(
        re.findall(
            r"--[a-z-]+(?=[ |)])",
            "".join(re.findall(r"^        -.*\)", (SYSTEMD / script).read_text(), re.M)),
        )
    )
    assert done.returncode == 0 and len(parsed) > 4
    assert parsed <= set(re.findall(r"--[a-z-]+", done.stdout))


def test_bundle_is_copied_readable(root: Path, bundle: Path, paths: dict[str, str]) -> None:
    assert install(root, "--bundle", bundle).returncode == 0
    copy = root / paths["BUNDLE"].lstrip("/")
    assert {p.name: (stat.S_IMODE(p.stat().st_mode), p.read_bytes()) for p in copy.iterdir()} == {
        p.name: (0o644, p.read_bytes()) for p in bundle.iterdir()
    }
    assert stat.S_IMODE(copy.stat().st_mode) == 0o755


def test_bundle_engines_of_device_are_kept(root: Path, bundle: Path, paths: dict[str, str]) -> None:
    install(root, "--bundle", bundle)
    engine = root / paths["BUNDLE"].lstrip("/") / "embedder.plan"
    engine.write_bytes(b"built here")
    assert paths["BUNDLE"] in steps(install(root, "--bundle", bundle).stdout, "unchanged")
    assert engine.read_bytes() == b"built here"


def test_new_bundle_keeps_previous_one(root: Path, bundle: Path, paths: dict[str, str]) -> None:
    install(root, "--bundle", bundle)
    write_bundle(bundle, "the second")
    done = install(root, "--bundle", bundle)
    copy = root / paths["BUNDLE"].lstrip("/")
    assert (copy / "embedder.onnx").read_text() == "the second"
    assert Path(f"{copy}.old", "embedder.onnx").read_text() == "the first embedder.onnx"
    assert f"{paths['BUNDLE']}.old" in done.stderr


def test_bundle_with_link_is_refused(root: Path, bundle: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("for root alone")
    for place in (lambda: bundle / "NOTES.txt", lambda: bundle / "LICENSE"):
        link = place()
        link.unlink(missing_ok=True)
        link.symlink_to(secret)
        done = install(root, "--bundle", bundle)
        assert done.returncode == 1
        assert "regular files only, found a link" in done.stderr
        assert tree(root) == {}
        link.unlink()


def test_bundle_with_linked_folder_is_refused(root: Path, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (bundle / "more").symlink_to(tmp_path / "secrets")
    done = install(root, "--bundle", bundle)
    assert done.returncode == 1
    assert "found a link" in done.stderr
    assert tree(root) == {}


def test_bundle_with_pipe_is_refused(root: Path, bundle: Path) -> None:
    os.mkfifo(bundle / "NOTES.txt")
    done = install(root, "--bundle", bundle)
    assert done.returncode == 1
    assert "found a named pipe" in done.stderr


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/b", ".hidden", ""])
def test_bundle_with_path_in_manifest_is_refused(root: Path, bundle: Path, name: str) -> None:
    files = {"files": {name: {"sha256": "0" * 64}}}
    (bundle / "manifest.json").write_text(json.dumps(files))
    done = install(root, "--bundle", bundle)
    assert done.returncode == 1
    assert "expected plain file names" in done.stderr
    assert tree(root) == {}


def test_bundle_that_was_changed_is_refused(root: Path, bundle: Path) -> None:
    (bundle / "embedder.onnx").write_text("changed on the way")
    done = install(root, "--bundle", bundle)
    assert done.returncode == 1
    assert "changed or damaged" in done.stderr
    assert tree(root) == {}


def test_bundle_file_not_listed_is_left_out(
    root: Path, bundle: Path, paths: dict[str, str]
) -> None:
    (bundle / "notes.txt").write_text("not part of it")
    done = install(root, "--bundle", bundle)
    assert done.returncode == 0
    assert "'notes.txt' is not listed in the manifest" in done.stderr
    assert not (root / paths["BUNDLE"].lstrip("/") / "notes.txt").exists()


def test_folder_without_manifest_is_refused(root: Path, tmp_path: Path) -> None:
    done = install(root, "--bundle", tmp_path)
    assert (
        done.returncode == 1
        and "manifest.json" in done.stderr
        and "mfsa-bundle make" in done.stderr
    )
    assert tree(root) == {}


def create_data(root: Path, bundle: Path, paths: dict[str, str]) -> Tree:
    """Create a staged terminal with data; return what an uninstallation must keep."""
    install(root, *EVERYTHING, "--bundle", bundle)
    kept = [
        paths["GALLERY"],
        f"{paths['STATE']}/decisions/000000001.log",
        f"{paths['DOOR_STATE']}/door/000000001.log",
        f"{paths['CONSOLE_STATE']}/accounts.db",
    ]
    for name in (*kept, f"{paths['PROGRAM']}/bin/edge-door", f"{paths['PROGRAM']}/.installed"):
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    for service in SERVICES:
        (wants / service).symlink_to(f"/etc/systemd/system/{service}")
    for instance in INSTANCES:
        (wants / instance).symlink_to(f"/etc/systemd/system/{instance.replace('lane1', '')}")
    gone = {*PLAIN, *EXTRA} - {CONFIG}
    return {
        k: v
        for k, v in tree(root).items()
        if k not in gone and "/bin/" not in k and "/." not in k and "wants" not in k
    }


def test_uninstall_keeps_data(root: Path, bundle: Path, paths: dict[str, str]) -> None:
    kept = create_data(root, bundle, paths)
    assert {
        KEY,
        CONFIG,
        paths["GALLERY"].lstrip("/"),
        f"{paths['BUNDLE']}/manifest.json".lstrip("/"),
    } <= set(kept)
    done = uninstall(root)
    assert done.returncode == 0, done.stderr
    assert tree(root) == kept
    assert not any(p.is_symlink() for p in root.rglob("*")) and not (root / DROP_INS).exists()
    again = uninstall(root)
    assert again.returncode == 0 and tree(root) == kept and steps(again.stdout, "removed") == set()
    assert paths["KEY"] in steps(install(root).stdout, "unchanged")


def test_foreign_drop_ins_are_kept(root: Path) -> None:
    install(root, *EVERYTHING)
    (root / DROP_INS / "override.conf").write_text("[Service]\n")
    done = uninstall(root)
    assert [p.name for p in (root / DROP_INS).iterdir()] == [
        "override.conf"
    ] and f"/{DROP_INS}" in steps(done.stdout, "kept")


def test_purge_removes_all(root: Path, bundle: Path, paths: dict[str, str]) -> None:
    create_data(root, bundle, paths)
    done = uninstall(root, "--purge", "--yes")
    assert (
        done.returncode == 0
        and tree(root) == {}
        and not any(p.is_symlink() for p in root.rglob("*"))
    )
    for name in ("SETTINGS", "STATE", "DOOR_STATE", "PROGRAM"):
        assert not (root / paths[name].lstrip("/")).exists(), name
    assert done.stdout.index(paths["KEY"]) < done.stdout.index(
        f"{paths['STATE']}\n"
    )  # first the key
    assert "not secure erasure" in done.stdout
    assert uninstall(root, "--purge", "--yes").returncode == 0


def test_purge_without_consent_is_refused(root: Path, bundle: Path, paths: dict[str, str]) -> None:
    create_data(root, bundle, paths)
    before = tree(root)
    done = uninstall(root, "--purge")
    assert done.returncode == 2 and "--yes" in done.stderr and tree(root) == before


def test_uninstall_dry_run_removes_nothing(root: Path, bundle: Path, paths: dict[str, str]) -> None:
    create_data(root, bundle, paths)
    before = tree(root)
    done = uninstall(root, "--purge", "--dry-run")
    assert done.returncode == 0 and tree(root) == before
    assert steps(done.stdout, "would remove") == steps(
        uninstall(root, "--purge", "--yes").stdout, "removed"
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_uninstall_warns_before_locking(script: str) -> None:
    """The message precedes the stop; the installer stops nothing."""
    text = (SYSTEMD / script).read_text()
    if script == "install.sh":
        assert re.search(r"run systemctl (stop|start|restart)", text) is None
    else:
        assert text.index("the door will be locked") < text.index("run systemctl stop")


@pytest.mark.parametrize("script", [*SCRIPTS, "lib.sh"])
def test_scripts_are_bash(script: str) -> None:
    found = subprocess.run(
        ["bash", "-n", SYSTEMD / script], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0 and found.stderr == ""
    assert os.access(SYSTEMD / script, os.X_OK) == (script in SCRIPTS)


def test_scripts_satisfy_shellcheck() -> None:
    installed = Path(sys.executable).with_name("shellcheck")
    shellcheck = installed if installed.exists() else shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    scripts = [SYSTEMD / script for script in SCRIPTS]
    found = subprocess.run(
        [shellcheck, "-x", *scripts], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def version_of(command: str, least: int) -> None:
    """Skip if the command is missing or too old."""
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    version = int(
        subprocess.run(
            [command, "--version"], capture_output=True, text=True, check=True
        ).stdout.split()[1]
    )
    if version < least:
        pytest.skip(
            f"{command} {version} cannot be asked without changing the machine; {least} can"
        )


def asked(*command: str | Path) -> str:
    found = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout + found.stderr


def test_systemd_accepts_accounts(root: Path) -> None:
    version_of("systemd-sysusers", 250)
    install(root)
    said = asked("systemd-sysusers", "--dry-run", f"--root={root}")
    assert re.findall(r"Creating group '([\w-]+)'", said) == [
        "gpio",
        "video",
        "render",
        "mfsa-door",
        "mfsa-edge",
    ]
    assert re.findall(r"Creating user '([\w-]+)'", said) == ["mfsa-door", "mfsa-edge"]
    assert "ignoring" not in said


def test_systemd_accepts_account_of_console(root: Path) -> None:
    version_of("systemd-sysusers", 250)
    install(root, "--extras", "console")
    said = asked("systemd-sysusers", "--dry-run", f"--root={root}")
    assert "mfsa-console" in re.findall(r"Creating user '([\w-]+)'", said)
    assert "ignoring" not in said


def test_unit_of_console_matches_its_account(paths: dict[str, str]) -> None:
    found, accounts = settings(CONSOLE), (SYSTEMD / "mfsa-console.sysusers").read_text()
    (account,) = found["User"]
    assert f'u {account} - "mfsa-edge console" {paths["CONSOLE_STATE"]} ' in accounts
    assert set(re.findall(rf"^m {account} (\S+)$", accounts, re.M)) == {
        *found["SupplementaryGroups"]
    }
    assert load_config(SYSTEMD / "terminal.yaml").console_folder == Path(paths["CONSOLE_STATE"])
    assert not {"LoadCredential", "DeviceAllow"} & set(found)
    assert paths["KEY"] in found["InaccessiblePaths"][0]


def test_systemd_accepts_rights(root: Path) -> None:
    version_of("systemd-tmpfiles", 256)
    install(root)
    (root / "var/lib").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/:\nmfsa-edge:x:995:995::/:\n")
    (root / "etc/group").write_text("root:x:0:\nmfsa-edge:x:995:\n")
    said = asked("systemd-tmpfiles", "--dry-run", "--create", f"--root={root}")
    assert "/var/lib/mfsa-edge" in said and "ignoring" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_accounts_and_rights_are_created(root: Path, paths: dict[str, str]) -> None:
    """Apply all of it with systemd in the staging root."""
    version_of("systemd-sysusers", 249)
    version_of("systemd-tmpfiles", 249)
    install(root)
    (root / KEY).chmod(0o644)
    asked("systemd-sysusers", f"--root={root}")
    asked("systemd-tmpfiles", "--create", f"--root={root}")
    accounts = {
        line.split(":")[0]: line.split(":")
        for line in (root / "etc/passwd").read_text().splitlines()
    }
    groups = {
        line.split(":")[0]: line.split(":")[3]
        for line in (root / "etc/group").read_text().splitlines()
    }
    assert {name: accounts[name][6] for name in ("mfsa-door", "mfsa-edge")} == dict.fromkeys(
        accounts, "/usr/sbin/nologin"
    )
    assert groups | {"gpio": "mfsa-door", "video": "mfsa-edge", "mfsa-door": "mfsa-edge"} == groups
    state, key = (root / paths["STATE"].lstrip("/")).stat(), (root / KEY).stat()
    assert (stat.S_IMODE(state.st_mode), str(state.st_uid), str(state.st_gid)) == (
        0o710,
        *accounts["mfsa-edge"][2:4],
    )
    assert (stat.S_IMODE(key.st_mode), key.st_uid, key.st_gid) == (0o600, 0, 0)


def settings(unit: str) -> dict[str, list[str]]:
    """Return the words of each setting of a unit, from all its lines."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", (SYSTEMD / unit).read_text(), re.M):
        found.setdefault(name, []).extend(value.split())
    return found


def members() -> set[tuple[str, str]]:
    return set(re.findall(r"^m (\S+) (\S+)$", (SYSTEMD / "mfsa-edge.sysusers").read_text(), re.M))


@pytest.mark.parametrize(
    ("unit", "state"), [("edge-door.service", "DOOR_STATE"), ("edge-daemon.service", "STATE")]
)
def test_units_and_scripts_agree(unit: str, state: str, paths: dict[str, str]) -> None:
    found = settings(unit)
    commands = [
        line
        for line in (SYSTEMD / unit).read_text().splitlines()
        if line.startswith("Exec") and "/kill" not in line
    ]
    assert {c.split("=")[0] for c in commands} >= {"ExecStart", "ExecReload"}
    assert all(
        f"={paths['PROGRAM']}/bin/" in c and c.endswith(f"--config {paths['CONFIG']}")
        for c in commands
    )
    assert [f"/var/lib/{name}" for name in found["StateDirectory"]] == [paths[state]]
    accounts = dict(
        re.findall(
            r'^u (\S+) - ".*" +(\S+) /usr/sbin/nologin$',
            (SYSTEMD / "mfsa-edge.sysusers").read_text(),
            re.M,
        )
    )
    assert accounts[found["User"][0]] == paths[state] and found["User"] == found["Group"]
    groups = {
        *found["SupplementaryGroups"],
        *(settings("drop-ins/jetson.conf")["SupplementaryGroups"] if state == "STATE" else ()),
    }
    assert {(found["User"][0], group) for group in groups} == {
        m for m in members() if m[0] == found["User"][0]
    }


def test_unit_loads_the_created_key(paths: dict[str, str]) -> None:
    assert settings("edge-daemon.service")["LoadCredential"] == [f"gallery.key:{paths['KEY']}"]
    assert f"\nz {paths['KEY']}   0600 root " in (SYSTEMD / "mfsa-edge.tmpfiles").read_text()
    assert f"/{KEY}" == paths["KEY"] and f"/{CONFIG}" == paths["CONFIG"]


def test_drop_in_groups_are_created() -> None:
    groups = set(re.findall(r"^g (\S+)", (SYSTEMD / "mfsa-edge.sysusers").read_text(), re.M))
    assert set(settings("drop-ins/jetson.conf")["SupplementaryGroups"]) <= groups
    assert {group for _, group in members()} <= groups | set(settings("edge-door.service")["Group"])


def test_pins_belong_to_door_group() -> None:
    rule = (SYSTEMD / "60-mfsa-edge.rules").read_text().splitlines()[-1]
    assert re.findall(r'(\w+)(==?)"([^"]*)"', rule) == [
        ("SUBSYSTEM", "==", "gpio"),
        ("KERNEL", "==", "gpiochip*"),
        ("GROUP", "=", settings("edge-door.service")["SupplementaryGroups"][0]),
        ("MODE", "=", "0660"),
    ]


def test_sample_configuration_matches_scripts(paths: dict[str, str]) -> None:
    config = load_config(SYSTEMD / "terminal.yaml")
    door = settings("edge-door.service")
    assert str(config.bundle) == paths["BUNDLE"]
    assert str(config.gallery_path) == paths["GALLERY"]
    assert str(config.key_path) == paths["KEY"]
    assert str(config.door_record_path.parent) == paths["DOOR_STATE"]
    assert (
        f"d {config.record.verification_key_dir}         0700 root"
        in (SYSTEMD / "mfsa-edge.tmpfiles").read_text()
    )
    assert config.socket_path.parent == Path("/run", *door["RuntimeDirectory"])
    assert set(settings("edge-daemon.service")["User"]) <= set(config.door.clients)


def test_install_copies_all_build_inputs() -> None:
    """The installer builds from a copy of parts of the checkout."""
    sources = re.search(r"SOURCES=\((.*)\)", (SYSTEMD / "install.sh").read_text())
    project = (CHECKOUT / "pyproject.toml").read_text()
    packages, licences = (
        re.search(rf"^{key} = \[(.*)\]", project, re.M) for key in ("include", "license-files")
    )
    readme = re.search(r'^readme = "(.*)"', project, re.M)
    assert sources and packages and licences and readme
    needed = [name.rstrip("*") for name in re.findall(r'"(.*?)"', packages[1] + licences[1])] + [
        readme[1],
        "pyproject.toml",
    ]
    assert {Path(name).parts[0] for name in needed} == set(sources[1].split())
