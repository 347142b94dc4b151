"""Metrics of the present state: logs, doors and recogniser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from edge.console.door_control import DoorControl, DoorReport
from edge.console.recogniser_status import RecogniserStatus
from edge.console.records.feed import LogStatus, RecordFeed
from edge.door.events import DoorAlarm, LockReason
from edge.door.readers.events import ReaderState
from edge.live.protocol import LiveHistogram, LiveView

Labels = tuple[str, ...]


def collect_state(
    feed: RecordFeed, doors: DoorControl, recogniser: RecogniserStatus
) -> Iterator[Metric]:
    """Yield the metrics of all parts; the status of the doors is the newest known one."""
    yield from log_metrics(feed.status()[0], feed.subscribers)
    known = ((name, doors.known_status(name)) for name in doors.names)
    yield from door_metrics({name: status for name, status in known if status is not None})
    yield from recogniser_metrics(recogniser.read())


def log_metrics(status: Mapping[str, LogStatus], subscribers: int) -> Iterator[Metric]:
    """Yield the metrics of the audit logs."""
    yield _gauge(
        "mfsa_audit_log_last_id",
        "Number of the newest record of an audit log.",
        ("log",),
        {(name,): log.newest for name, log in status.items()},
    )
    yield _gauge(
        "mfsa_audit_log_readable",
        "1 if the console can read an audit log.",
        ("log",),
        {(name,): not log.error for name, log in status.items()},
    )
    yield _gauge(
        "mfsa_console_subscribers",
        "Clients of the event stream.",
        (),
        {(): subscribers},
    )


def door_metrics(doors: Mapping[str, DoorReport]) -> Iterator[Metric]:
    """Yield the metrics of the doors."""
    up = {name: door for name, door in doors.items() if not door.error}
    yield _gauge(
        "mfsa_door_up",
        "1 if the door process answers.",
        ("door",),
        {(name,): not door.error for name, door in doors.items()},
    )
    yield _gauge(
        "mfsa_door_unlocked",
        "1 if the door is unlocked.",
        ("door",),
        {(name,): door.fields["state"] == "unlocked" for name, door in up.items()},
    )
    yield _gauge(
        "mfsa_door_state",
        "1 for the reason why the door is locked or unlocked.",
        ("door", "reason"),
        {(n, r.value): d.fields["reason"] == r for n, d in up.items() for r in LockReason},
    )
    yield _gauge(
        "mfsa_door_alarm_active",
        "1 while an alarm is active.",
        ("door", "alarm"),
        {(n, a.value): a.value in d.fields["alarms"] for n, d in up.items() for a in DoorAlarm},
    )
    yield _gauge(
        "mfsa_door_input_active",
        "1 while an input is active.",
        ("door", "input"),
        {(n, i): on for n, d in up.items() for i, on in d.fields["inputs"].items()},
    )
    yield _gauge(
        "mfsa_door_clock_trusted",
        "1 if the door process trusts the clock.",
        ("door",),
        {(name,): not door.fields["clock"]["doubt"] for name, door in up.items()},
    )
    yield _gauge(
        "mfsa_door_records_unwritten",
        "Door events that were not recorded since the last one that was.",
        ("door",),
        {(name,): door.fields["records_lost"] for name, door in up.items()},
    )
    yield from _access_metrics({n: d for n, d in up.items() if d.is_operator})


def _access_metrics(doors: Mapping[str, DoorReport]) -> Iterator[Metric]:
    access = {name: door.fields["access"] for name, door in doors.items()}
    yield _gauge(
        "mfsa_door_zone_people",
        "People inside a zone.",
        ("door", "zone"),
        {(n, zone): x["people"] for n, each in access.items() for zone, x in each["zones"].items()},
    )
    yield _gauge(
        "mfsa_door_reader_ready",
        "1 if a card or PIN reader works.",
        ("door", "reader"),
        {
            (n, reader): state == ReaderState.READY
            for n, each in access.items()
            for reader, state in each["readers"].items()
        },
    )
    yield _gauge(
        "mfsa_door_lockouts_active",
        "Readers and people that are locked out after wrong cards or PINs.",
        ("door",),
        {(name,): len(each["lockouts"]) for name, each in access.items()},
    )


def recogniser_metrics(view: LiveView | None) -> Iterator[Metric]:
    """Yield the metrics of the recogniser."""
    yield _gauge("mfsa_recogniser_up", "1 if the recogniser answers.", (), {(): view is not None})
    if view is None:
        return
    stats = view.stats
    yield _gauge(
        "mfsa_camera_ready", "1 if the camera gives frames.", (), {(): view.camera == "ready"}
    )
    for name, text, value in (
        ("mfsa_frames", "Frames that were taken from the camera.", stats.frames),
        ("mfsa_frames_dropped", "Frames that were replaced or too old.", stats.dropped),
        ("mfsa_faces", "Faces in frames.", stats.faces),
    ):
        yield CounterMetricFamily(name, text, value)
    yield _gauge(
        "mfsa_recogniser_start_time_seconds",
        "Start of the recogniser in Unix seconds.",
        (),
        {(): stats.started},
    )
    for name, text, number in (
        ("mfsa_gallery_subjects", "People in the gallery.", stats.subjects),
        ("mfsa_gallery_templates", "Templates in the gallery.", stats.templates),
        (
            "mfsa_gallery_supported_templates",
            "Templates that the model supports.",
            stats.supported_templates,
        ),
    ):
        yield _gauge(name, text, (), {(): number})
    info = {"model": stats.model, "engine": stats.engine}
    yield InfoMetricFamily("mfsa_model", "Model and engine of the recogniser.", value=info)
    yield _histogram(
        "mfsa_frame_to_decision_seconds",
        "Time from the exposure of a frame to the decision on a face.",
        stats.decision_s,
    )
    yield _histogram(
        "mfsa_frame_to_door_answer_seconds",
        "Time from the exposure of a frame to the answer of the door.",
        stats.answer_s,
    )


def _gauge(
    name: str, text: str, labels: Labels, values: Mapping[Labels, float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for each, value in values.items():
        family.add_metric(each, float(value))
    return family


def _histogram(name: str, text: str, found: LiveHistogram) -> HistogramMetricFamily:
    edges = [*(f"{edge:g}" for edge in found.edges), "+Inf"]
    buckets = list(zip(edges, map(float, accumulate(found.counts)), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=found.sum)
