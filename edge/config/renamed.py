"""Keys and values that have another name since version 0.2.0.

They are refused like any unknown key. The message names the new one.
"""

from __future__ import annotations

KEYS = {
    "changeover": "previous_bundle",
    "detector.size": "detector.input_size",
    "detector.every_s": "detector.search_interval_s",
    "detector.faces_a_frame": "detector.max_faces_per_frame",
    "policy.votes": "policy.min_votes",
    "policy.votes_masked": "policy.min_votes_masked",
    "policy.agreement": "policy.min_agreement",
    "policy.limit_s": "policy.decision_timeout_s",
    "policy.groups": "access.lanes[].groups",
    "policy.span": "policy.uncertainty_band",
    "policy.attempts": "policy.max_unknown_per_minute",
    "liveness.stillness": "liveness.motion",
    "door.extended_s": "door.extended_pulse_s",
    "door.exit_s": "door.rex_pulse_s",
    "door.busy_s": "door.max_grant_unlock_s",
    "door.inputs.exit": "door.inputs.rex",
    "enrollment.keep_days": "enrollment.erase_after_days",
    "record.unwritable": "record.on_write_failure",
    "record.keep_days": "record.delete_after_days",
    "record.personal_days": "record.redact_after_days",
    "record.keys": "record.verification_key_dir",
    "record.pictures": "record.max_pictures",
    "record.pictures_days": "record.delete_pictures_after_days",
}
VALUES = {
    ("policy.mask", "require-soft"): "warn",
    ("liveness.challenge", "unsure"): "near_threshold",
    ("door.relock", "pulse"): "timeout",
    ("door.relock", "opened"): "on_open",
    ("door.relock", "closed"): "on_close",
}
