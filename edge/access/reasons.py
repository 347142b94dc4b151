"""Reason codes of decisions. Refusals of grants are in edge/door/events.py."""

from __future__ import annotations

from edge.codes import Code


class Reason(Code):
    """Reason of a decision on a face."""

    # Grants and matches
    MATCH = "match", "access granted"
    MATCH_WITHOUT_MASK = "match-without-mask", "access granted; please wear a mask"
    INSUFFICIENT_VOTES = "insufficient-votes", "match; more frames must agree"
    COOLDOWN = "cooldown", "access was granted a moment ago"

    # No subject found
    GALLERY_EMPTY = "gallery-empty", "the gallery has no templates; enroll people first"
    BELOW_THRESHOLD = "below-threshold", "no subject matches well enough"
    AMBIGUOUS = "ambiguous", "two subjects match almost equally well"
    DECISION_TIMEOUT = "decision-timeout", "the frames did not agree in time; step away, try again"

    # Face not examined
    SKIPPED = "skipped", "the face was not examined in this frame"
    OUTSIDE_ZONE = "outside-zone", "the face is outside the detection zone"
    TOO_SMALL = "too-small", "the face is too small; come closer"
    NOT_NEAREST = "not-nearest", "another face is nearer to the camera"

    # Grant held; the votes are kept
    OTHER_LANE = "other-lane", "the person may be at another lane; step in front of one lane"
    ONE_AT_A_TIME = "one-at-a-time", "another person is too near; step up one at a time"

    # Quality
    TOO_FAR = "too-far", "the eyes are too close together in the picture; come closer"
    OFF_CENTRE = "off-centre", "the face is cut off; step into the middle"
    TURNED_AWAY = "turned-away", "the head is turned away; look at the camera"
    TOO_DARK = "too-dark", "the face is too dark; more light is needed"
    TOO_BRIGHT = "too-bright", "the face is too bright; reduce the light"
    BLURRED = "blurred", "the face is blurred; hold still"
    EYES_HIDDEN = "eyes-hidden", "the eyes are hidden; uncover them"
    ATTENTION_OFF_FACE = (
        "attention-off-face",
        "the network used mask or background, not the face",
    )

    FACE_HIDDEN = "face-hidden", "the face is too hidden to be recognised; uncover it"

    # Masks
    LOWER_MASK = "lower-mask", "the score is just below the threshold; lower the mask"
    MASK_REQUIRED = "mask-required", "a mask is required here"
    MASK_FORBIDDEN = "mask-forbidden", "remove the mask"

    # Access
    NOT_ENROLLED = "not-enrolled", "the subject was removed from the gallery"
    RIGHTS_NOT_MOVED = (
        "rights-not-moved",
        "the first and last day are still in the gallery; run edge-gallery move-rights",
    )
    PRESENT_CARD = "present-card", "present your card"
    ENTER_PIN = "enter-pin", "enter your PIN"
    CARD_OR_PIN = "card-or-pin", "present your card or enter your PIN"
    SECOND_PERSON = (
        "second-person",
        "this door needs a second person; present the next face or card",
    )
    PANEL_DECIDES = "panel-decides", "the access control panel decides; wait"
    TOO_MANY_ATTEMPTS = (
        "too-many-attempts",
        "too many unknown faces; all grants are refused for a minute",
    )
    GALLERY_UNREADABLE = "gallery-unreadable", "the gallery cannot be read; all people are refused"
    GALLERY_KEY_CHANGED = (
        "gallery-key-changed",
        "the gallery has another key; all people are refused until edge-daemon is restarted",
    )

    # Liveness
    CHECKING = "checking", "liveness is being checked; wait"
    MOVE = "move", "move a little"
    LOOK_STRAIGHT = "look-straight", "look straight at the camera"
    TURN_LEFT = "turn-left", "turn your head to your left"
    TURN_RIGHT = "turn-right", "turn your head to your right"
    COME_CLOSER = "come-closer", "come closer"
    FROZEN = "frozen", "the frames of the camera repeat"
    NO_MOTION = "no-motion", "the face moves like a photo"
    SCREEN = "screen", "the face is shown on a screen"
    NOT_LIVING = "not-living", "the liveness network rejects the face"
    WRONG_RESPONSE = "wrong-response", "the response was not the requested one"
    NO_RESPONSE = "no-response", "the requested response did not come in time"
