"""`edge-console`: users by root, and the process itself."""

from __future__ import annotations

import re
import socket
import ssl
import time
from pathlib import Path

import httpx2
import pytest

from edge.audit.reader import read_log
from edge.cli import audit
from edge.cli import console as command
from edge.config import load_config
from edge.console.context import Console
from edge.console.roles import Role
from edge.ops.check_result import OK, WARNING
from edge.ops.console_check import check_console
from tests.edge.console.conftest import CONFIG, PASSWORD, Clients, WallTime
from tests.edge.console.records import wait_for_event
from tests.processes import Process, call, until

CODE = re.compile(r"\b([A-Z2-9]{4}(?:-[A-Z2-9]{4}){3})\b")


def config_file(console: Console) -> Path:
    return console.config.state.parent / "terminal.yaml"


def run(console: Console, *arguments: str) -> str:
    """Run a command on the configuration of a console; return its output."""
    result = call(command.main, *arguments, "--config", config_file(console))
    assert result.returncode == 0, result.stderr
    return result.stdout


def fail(console: Console, *arguments: str) -> str:
    result = call(command.main, *arguments, "--config", config_file(console))
    assert result.returncode == 1
    return result.stderr


def code_of(output: str) -> str:
    found = CODE.search(output)
    assert found, output
    return found[1]


def test_first_login_makes_an_administrator(console: Console, wall: WallTime) -> None:
    wall.now = time.time()
    code = code_of(run(console, "first-login"))
    assert next(iter(check_console(console.config))).level == WARNING
    console.accounts.logins.set_password(code, PASSWORD, "192.0.2.1")
    assert console.accounts.users.get("admin").role == Role.ADMINISTRATOR
    assert next(iter(check_console(console.config))).level == OK
    assert "user reset NAME" in fail(console, "first-login")


def test_first_login_again_replaces_the_code(console: Console) -> None:
    first, second = (code_of(run(console, "first-login")) for _ in range(2))
    wall = console.accounts.wall()
    assert console.accounts.codes.find(first, wall) is None
    assert first != second


def test_user_commands_are_recorded(console: Console) -> None:
    run(console, "user", "add", "bob", "--role", "viewer")
    run(console, "user", "role", "bob", "--role", "operator")
    run(console, "user", "disable", "bob")
    run(console, "user", "enable", "bob")
    run(console, "user", "reset", "bob")
    console.accounts.write_pending()
    records = [each for each in read_log(console.config.console_record_path) if "event" in each]
    assert [each["event"] for each in records] == [
        "user-added",
        "role-changed",
        "user-disabled",
        "user-enabled",
        "password-reset",
    ]
    assert {each["target"] for each in records} == {"bob"} and records[0]["operator"]
    console.accounts.write_pending()
    assert len(read_log(console.config.console_record_path)) == len(records)


def test_user_list_shows_state(console: Console) -> None:
    run(console, "user", "add", "bob", "--role", "viewer")
    assert re.search(r"^bob +viewer +invited +- +-$", run(console, "user", "list"), re.MULTILINE)


def test_user_unknown_is_named(console: Console) -> None:
    assert "user bob: unknown" in fail(console, "user", "disable", "bob")


def test_last_administrator_stays(console: Console, client_of: Clients) -> None:
    client_of(Role.ADMINISTRATOR)
    assert "last administrator" in fail(console, "user", "disable", "administrator")


def test_audit_commands_know_the_console(console: Console, client_of: Clients) -> None:
    client_of(Role.VIEWER).post("/logout")
    wait_for_event(console, "logout")
    config = config_file(console)
    shown = call(audit.main, "show", "--config", config, "--record", "console")
    assert "logout" in shown.stdout and "viewer" in shown.stdout
    verified = call(audit.main, "verify", "--config", config, "--record", "console")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.fixture
def port() -> int:
    return free_port()


def free_port() -> int:
    """Return a port that no program uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_console_serves_tls_until_sigterm(tmp_path: Path, port: int) -> None:
    path = tmp_path / "terminal.yaml"
    path.write_text(
        f"{CONFIG}console: {{listen: '127.0.0.1:{port}', kiosk_port: null, names: [127.0.0.1]}}\n"
    )
    certificate = load_config(path).console_folder / "certificate.pem"
    call(command.main, "user", "add", "bob", "--role", "viewer", "--config", path)
    arguments = "run", "--config", path
    with Process("edge.cli.console", *arguments, log=tmp_path / "log") as process:
        until(lambda: process.said("https://"), "the console listens")
        trusted = ssl.create_default_context(cafile=str(certificate))
        answer = httpx2.get(f"https://127.0.0.1:{port}/login", verify=trusted)
        assert answer.status_code == 200 and "strict-transport-security" in answer.headers
        assert "server" not in answer.headers
        records = load_config(path).console_record_path
        until(
            lambda: (
                {"certificate-made", "user-added"}
                <= {record.get("event") for record in read_log(records)}
            ),
            "both records are written",
        )
        assert process.stop() == 0, (tmp_path / "log").read_text()


def test_console_port_in_use_is_named(tmp_path: Path, port: int) -> None:
    path = tmp_path / "terminal.yaml"
    path.write_text(f"{CONFIG}console: {{listen: '127.0.0.1:{port}', kiosk_port: null}}\n")
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        result = call(command.main, "run", "--config", path)
    assert result.returncode == 2
    assert f"cannot listen at 127.0.0.1 port {port}" in result.stderr
