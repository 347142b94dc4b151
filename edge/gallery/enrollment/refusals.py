"""Reasons why a photo or a person is not enrolled."""

from __future__ import annotations

from enum import Enum


class RefusalReason(str, Enum):
    """Reason of a refused or left-out photo, or of a refused person. Values are in reports."""

    NO_FACE = "no-face"
    SEVERAL_FACES = "several-faces"
    TOO_SMALL = "too-small"
    TOO_FAR = "too-far"
    OFF_CENTRE = "off-centre"
    TURNED_AWAY = "turned-away"
    TOO_DARK = "too-dark"
    TOO_BRIGHT = "too-bright"
    BLURRED = "blurred"
    EYES_HIDDEN = "eyes-hidden"
    ATTENTION_OFF_FACE = "attention-off-face"
    MASK_WORN = "mask-worn"
    UNREADABLE = "unreadable"
    SAME_PHOTO = "same-photo"
    OUTLIER_PHOTO = "outlier-photo"
    MATCHES_OTHER_SUBJECT = "matches-other-subject"
    CLOSER_TO_OTHER_SUBJECT = "closer-to-other-subject"
    DIFFERENT_PEOPLE = "different-people"
    ALREADY_ENROLLED = "already-enrolled"
    TOO_FEW_PHOTOS = "too-few-photos"
    NO_POSE = "no-pose"
    NO_CONSENT = "no-consent"
    INVALID_DATES = "invalid-dates"

    def __str__(self) -> str:
        return self.value

    @property
    def sentence(self) -> str:
        """Flaw and remedy, for the operator."""
        return _SENTENCES[self]


_SENTENCES = {
    RefusalReason.NO_FACE: "no face found; use a sharp, bright photo that looks at the camera, "
    "with room around the head",
    RefusalReason.SEVERAL_FACES: "several faces found; use a photo with one person in it",
    RefusalReason.TOO_SMALL: "the face is narrower than `detector.min_face_px`; use a photo taken "
    "closer, or one with more pixels",
    RefusalReason.TOO_FAR: "the face is too small; use a photo taken closer, or one with more "
    "pixels",
    RefusalReason.OFF_CENTRE: "the face is cut off; use a photo with the complete head and room "
    "around it",
    RefusalReason.TURNED_AWAY: "the head is turned too far; use a photo that looks at the camera",
    RefusalReason.TOO_DARK: "the face is too dark; use a photo with light from the front",
    RefusalReason.TOO_BRIGHT: "the face is too bright; use a photo without glare",
    RefusalReason.BLURRED: "the face is blurred; use a sharp photo",
    RefusalReason.EYES_HIDDEN: "the eyes are hidden; use a photo without hair, sunglasses or cap "
    "over them",
    RefusalReason.ATTENTION_OFF_FACE: "the network did not look at the face; use another photo",
    RefusalReason.MASK_WORN: "a mask seems to be worn; enroll without one",
    RefusalReason.UNREADABLE: "the file cannot be read as a photo; save it as JPEG or PNG",
    RefusalReason.SAME_PHOTO: "a copy of another photo; it is left out",
    RefusalReason.OUTLIER_PHOTO: "the photo does not match the person's other photos; it is left "
    "out: check who is on it",
    RefusalReason.MATCHES_OTHER_SUBJECT: "the photo matches another enrolled person; it is left "
    "out: use a sharper photo",
    RefusalReason.CLOSER_TO_OTHER_SUBJECT: "the photo scores as high with another enrolled person "
    "(level strict); use sharper photos that look at the camera",
    RefusalReason.DIFFERENT_PEOPLE: "the photos do not show one person; drop those that the "
    "message names, or use --replace for a person who changed much",
    RefusalReason.ALREADY_ENROLLED: "the person is enrolled under another name; use that name, or "
    "remove it first",
    RefusalReason.TOO_FEW_PHOTOS: "too few photos can be used; add photos",
    RefusalReason.NO_POSE: "a pose was not seen in time; improve the light and keep other people "
    "out of the picture",
    RefusalReason.NO_CONSENT: "no consent is on record; note it with --consent",
    RefusalReason.INVALID_DATES: "the dates exclude each other or are past; correct them",
}
