"""Metrics for Prometheus, and the dashboard that shows them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.config import TerminalConfig
from edge.console.metrics import Metrics
from edge.console.records.cursor import event_id
from edge.console.records.events import Event
from edge.console.records.feed import LogStatus
from edge.console.roles import Role
from edge.console.state_metrics import log_metrics, recogniser_metrics
from edge.live.protocol import LiveHistogram, LiveStatistics, LiveView
from tests.doors import RunningDoor
from tests.edge.console.conftest import Clients
from tests.edge.console.logs import SampleLog
from tests.processes import until

DASHBOARD = Path(__file__).parents[3] / "examples" / "grafana-dashboard.json"
HISTOGRAM = LiveHistogram(edges=(0.1, 0.5), counts=(3, 2, 1), sum=1.75)
STATISTICS = LiveStatistics(
    started=1.8e9,
    frames=100,
    dropped=4,
    faces=30,
    decision_s=HISTOGRAM,
    answer_s=HISTOGRAM,
    engine="ort fp32",
    model="0123456789ab",
    subjects=7,
    templates=21,
    supported_templates=1000,
)
VIEW = LiveView(
    at=1.0, wall=1.8e9, number=1, width=0, height=0, camera="ready", faces=(), door=None,
    stats=STATISTICS,
)  # fmt: skip


def observed(*records: dict[str, object]) -> Metrics:
    metrics = Metrics()
    for number, record in enumerate(records, 1):
        fields = {"id": number, **record}
        metrics.observe(Event(event_id("door", fields), fields))
    return metrics


def samples(text: str) -> dict[str, float]:
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return samples(text)[f"{name}{sorted(labels.items())}"]


def test_events_are_counted() -> None:
    metrics = observed(
        {"kind": "started", "model": "m"},
        {"kind": "decision", "verdict": "grant", "reason": "match", "subject": "Ada"},
        {"kind": "decision", "verdict": "refused", "reason": "too-far", "lost": 2, "not_taken": 1},
        {"event": "unlocked", "reason": "rex"},
        {"event": "alarm", "reason": "forced-open"},
        {"event": "refused", "reason": "lockdown"},
        {"event": "operator-command", "reason": "unlock", "operator": "guard", "user": "Ada"},
    )
    text = metrics.render().decode()
    assert value(text, "mfsa_records_total", log="door") == 7
    assert value(text, "mfsa_records_lost_total", log="door") == 3
    assert value(text, "mfsa_process_starts_total", log="door") == 1
    labels = {"log": "door", "verdict": "grant", "reason": "match"}
    assert value(text, "mfsa_decisions_total", **labels) == 1
    assert value(text, "mfsa_door_unlocks_total", log="door", reason="rex") == 1
    assert value(text, "mfsa_door_alarms_total", log="door", alarm="forced-open") == 1
    assert value(text, "mfsa_door_operator_commands_total", log="door", command="unlock") == 1


def test_labels_hold_no_personal_data() -> None:
    """Unknown codes of a damaged log become no labels either."""
    text = observed(
        {"kind": "decision", "verdict": "Ada", "reason": ["Ada"], "subject": "Ada"},
        {"event": "unlocked", "reason": "Ada Lovelace", "operator": "Ada"},
        {"event": "Ada", "reason": "Ada", "lost": "Ada"},
    ).render()
    assert b"Ada" not in text and b'reason="other"' in text


def test_state_is_read_at_each_request() -> None:
    metrics = Metrics()
    logs = {"door": LogStatus(7, ""), "decisions": LogStatus(0, "Permission denied")}
    metrics.add_collector(lambda: log_metrics(logs, 2))
    metrics.add_collector(lambda: recogniser_metrics(VIEW))
    text = metrics.render().decode()
    assert value(text, "mfsa_audit_log_last_id", log="door") == 7
    assert value(text, "mfsa_audit_log_readable", log="decisions") == 0
    assert value(text, "mfsa_gallery_subjects") == 7
    assert value(text, "mfsa_model_info", model="0123456789ab", engine="ort fp32") == 1
    name = "mfsa_frame_to_decision_seconds"
    assert [value(text, f"{name}_bucket", le=edge) for edge in ("0.1", "0.5", "+Inf")] == [3, 5, 6]
    assert value(text, f"{name}_count") == 6 and value(text, f"{name}_sum") == 1.75


def test_missing_recogniser_is_a_metric() -> None:
    (family,) = recogniser_metrics(None)
    assert family.name == "mfsa_recogniser_up" and family.samples[0].value == 0


@pytest.fixture
def exported(client_of: Clients, console_config: TerminalConfig) -> str:
    """Metrics of a console with a door and new decisions."""
    door = RunningDoor(console_config.door_folder)
    client = client_of(Role.ADMINISTRATOR)
    log = SampleLog(console_config.decisions_path)
    log.decide()

    def is_counted() -> bool:
        return "mfsa_decisions_total{" in client.get("/metrics").text

    until(is_counted, "the decision is counted")
    answer = client.get("/metrics")
    door.stop()
    log.close()
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    return answer.text


def test_metrics_show_the_door(exported: str, client_of: Clients) -> None:
    assert value(exported, "mfsa_door_up", door="main") == 1
    assert value(exported, "mfsa_door_state", door="main", reason="normal") == 1
    assert value(exported, "mfsa_door_alarm_active", door="main", alarm="tamper") == 0
    assert client_of(Role.OPERATOR).get("/metrics").status_code == 403


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_metrics(exported: str) -> None:
    metrics = Metrics()
    metrics.add_collector(lambda: recogniser_metrics(VIEW))
    for text in (exported, metrics.render().decode()):
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_dashboard_uses_exported_metrics(exported: str) -> None:
    metrics = Metrics()
    metrics.add_collector(lambda: recogniser_metrics(VIEW))
    known = {
        name.partition("[")[0] for name in samples(exported) | samples(metrics.render().decode())
    }
    counters = set(re.findall(r"^# TYPE (\w+) counter", exported, re.M))
    queries = re.findall(r'"expr": "((?:[^"\\]|\\.)*)"', DASHBOARD.read_text(encoding="utf-8"))
    used = {name for query in queries for name in re.findall(r"mfsa_\w+", query)}
    assert len(queries) > 10 and used <= known | counters, used - known - counters
    assert json.loads(DASHBOARD.read_text(encoding="utf-8"))["title"] == "mfsa-edge"
