"""Reasons why a photo or a person is not enrolled."""

from __future__ import annotations

from edge.codes import Code


class RefusalReason(Code):
    """Reason of a refused or left-out photo, or of a refused person."""

    NO_FACE = (
        "no-face",
        "no face found; use a sharp, bright photo that looks at the camera, with room around "
        "the head",
    )
    SEVERAL_FACES = "several-faces", "several faces found; use a photo with one person in it"
    TOO_SMALL = (
        "too-small",
        "the face is narrower than `detector.min_face_px`; use a photo taken closer, or one "
        "with more pixels",
    )
    TOO_FAR = "too-far", "the face is too small; use a photo taken closer, or one with more pixels"
    OFF_CENTRE = (
        "off-centre",
        "the face is cut off; use a photo with the complete head and room around it",
    )
    TURNED_AWAY = "turned-away", "the head is turned too far; use a photo that looks at the camera"
    TOO_DARK = "too-dark", "the face is too dark; use a photo with light from the front"
    TOO_BRIGHT = "too-bright", "the face is too bright; use a photo without glare"
    BLURRED = "blurred", "the face is blurred; use a sharp photo"
    EYES_HIDDEN = (
        "eyes-hidden",
        "the eyes are hidden; use a photo without hair, sunglasses or cap over them",
    )
    ATTENTION_OFF_FACE = (
        "attention-off-face",
        "the attention of the network is not on the face; use another photo",
    )
    FACE_HIDDEN = (
        "face-hidden",
        "the face is too hidden to be recognised; use a photo of the uncovered face",
    )
    MASK_WORN = "mask-worn", "a mask seems to be worn; enroll without one"
    UNREADABLE = "unreadable", "the file cannot be read as a photo; save it as JPEG or PNG"
    SAME_PHOTO = "same-photo", "a copy of another photo; it is left out"
    OUTLIER_PHOTO = (
        "outlier-photo",
        "the photo does not match the person's other photos; it is left out: check who is on it",
    )
    MATCHES_OTHER_SUBJECT = (
        "matches-other-subject",
        "the photo matches another enrolled person; it is left out: use a sharper photo",
    )
    CLOSER_TO_OTHER_SUBJECT = (
        "closer-to-other-subject",
        "the photo scores as high with another enrolled person (level strict); use sharper "
        "photos that look at the camera",
    )
    DIFFERENT_PEOPLE = (
        "different-people",
        "the photos do not show one person; drop those that the message names, or use --replace"
        " for a person who changed much",
    )
    ALREADY_ENROLLED = (
        "already-enrolled",
        "the person is enrolled under another name; use that name, or remove it first",
    )
    TOO_FEW_PHOTOS = "too-few-photos", "too few photos can be used; add photos"
    NO_POSE = (
        "no-pose",
        "a pose was not seen in time; improve the light and keep other people out of the picture",
    )
    NO_CONSENT = "no-consent", "no consent is on record; note it with --consent"
    INVALID_DATES = "invalid-dates", "the day of erasure has passed; choose a later one"
