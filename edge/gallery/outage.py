"""Outage of a gallery that cannot be read, and the refusal of all people after a limit."""

from __future__ import annotations

from edge.access.reasons import Reason
from edge.errors import GalleryError
from edge.gallery.database import WrongKeyError


class GalleryOutage:
    """State over the results of reading a gallery. Pure. Times come in order."""

    def __init__(self, limit_s: float, now: float) -> None:
        self.limit_s = limit_s  # may be changed at any time
        self.refusal: Reason | None = None  # while all people are refused
        self._read_at = now  # the last time that reading succeeded
        self._began_at = now  # start of the refusal

    def record_failure(self, error: GalleryError, now: float) -> bool:
        """Note that the gallery cannot be read; return True if the refusal begins now."""
        if now - self._read_at < self.limit_s:
            return False
        begins = self.refusal is None
        wrong_key = isinstance(error, WrongKeyError)
        self.refusal = Reason.GALLERY_KEY_CHANGED if wrong_key else Reason.GALLERY_UNREADABLE
        if begins:
            self._began_at = now
        return begins

    def record_success(self, now: float) -> float | None:
        """Note that the gallery was read; return the seconds of a refusal that ends now."""
        lasted = None if self.refusal is None else now - self._began_at
        self.refusal, self._read_at = None, now
        return lasted
