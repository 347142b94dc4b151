"""Keys and values that have another name since version 0.2.0.

They are refused like any unknown key. The message names the new one.
"""

from __future__ import annotations

KEYS = {
    "changeover": "previous_bundle",
    "detector.input_size": "detector.input_size",
    "detector.search_interval_s": "detector.search_interval_s",
    "detector.max_faces_per_frame": "detector.max_faces_per_frame",
    "policy.min_votes": "policy.min_votes",
    "policy.min_votes_masked": "policy.min_votes_masked",
    "policy.min_agreement": "policy.min_agreement",
    "policy.decision_timeout_s": "policy.decision_timeout_s",
    "policy.uncertainty_band": "policy.uncertainty_band",
    "policy.max_unknown_per_minute": "policy.max_unknown_per_minute",
    "liveness.motion": "liveness.motion",
    "door.extended_pulse_s": "door.extended_pulse_s",
    "door.rex_pulse_s": "door.rex_pulse_s",
    "door.max_grant_unlock_s": "door.max_grant_unlock_s",
    "door.inputs.rex": "door.inputs.rex",
    "enrollment.erase_after_days": "enrollment.erase_after_days",
    "record.on_write_failure": "record.on_write_failure",
    "record.delete_after_days": "record.delete_after_days",
    "record.redact_after_days": "record.redact_after_days",
    "record.verification_key_dir": "record.verification_key_dir",
    "record.max_pictures": "record.max_pictures",
    "record.delete_pictures_after_days": "record.delete_pictures_after_days",
}
VALUES = {
    ("policy.mask", "warn"): "warn",
    ("liveness.challenge", "near_threshold"): "near_threshold",
    ("door.relock", "pulse"): "timeout",
    ("door.relock", "opened"): "on_open",
    ("door.relock", "closed"): "on_close",
}
