"""Seeds of each target, some hundred generated inputs, and detection of planted faults."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import audits, documents, doors, galleries, pictures, rosters
from tests.fuzz.target import Run
from tests.fuzz.targets import TARGETS
from tests.memory import scratch
from tests.processes import TIMEOUT_S


@pytest.fixture(params=TARGETS, scope="module")
def target_run(request: pytest.FixtureRequest) -> Iterator[Run]:
    logging.disable(logging.CRITICAL)
    with scratch() as folder, ExitStack() as at_end:
        at_end.callback(logging.disable, logging.NOTSET)
        run = TARGETS[request.param].open(Path(folder), at_end)
        for seed in TARGETS[request.param].seeds():
            run(seed)
        yield run


# The same inputs each time: what is new is for the runner to find.
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
@given(data=st.binary(max_size=200))
def test_target_random_input_has_no_finding(target_run: Run, data: bytes) -> None:
    assert target_run(data) is None  # a finding is raised


_PARSERS = (
    ("config", documents, "load_config"),
    ("gallery-file", galleries, "verify"),
    ("gallery-running", galleries, "LiveGallery"),
    ("subject", galleries, "from_json"),
    ("people", galleries.export, "import_people"),
    ("manifest", documents, "read_manifest"),
    ("sidecar", documents, "check_sidecar"),
    ("notes", documents, "load_outputs"),
    ("photo", pictures, "decode_photo"),
    ("recording", pictures, "ReplayCamera"),
    ("packet", doors.protocol, "decode"),
    ("service", doors.protocol, "parse_command"),
    ("record", doors, "load_previous_run"),
    ("bulk", rosters, "read_roster"),
    ("report", rosters, "EnrollmentJournal"),
    ("checkpoint", audits, "read_checkpoint"),
    ("evidence", audits, "read_picture"),
    ("rows", audits, "parse_record"),
)


@pytest.mark.parametrize(("name", "module", "parser"), _PARSERS)
def test_unexpected_parser_error_is_found(
    name: str, module: object, parser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("broken by hand")

    assert {found for found, *_ in _PARSERS} == set(TARGETS)
    with ExitStack() as at_end:
        run = TARGETS[name].open(tmp_path, at_end)
        monkeypatch.setattr(module, parser, broken)
        with pytest.raises(KeyError):
            for seed in TARGETS[name].seeds():
                run(seed)


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is not installed: pip install 'mfsa-edge[fuzz]'",
)
def test_runner_reports_counts(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "--minutes",
        "0.1",
        "--target",
        "packet",
        "--out",
        str(tmp_path / "out"),
    ]
    command += ["--markdown", str(tmp_path / "page.md")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    cells = next(
        line
        for line in (tmp_path / "page.md").read_text().splitlines()
        if line.startswith("| packet |")
    ).split("|")
    assert int(cells[4].replace(",", "")) > 1000 and int(cells[5]) > 10 and cells[8].strip() == "0"
