"""Model migration: the previous model recognises people who have no template of the new one yet.

Such a person is enrolled for the new model when the door opens for them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.access.policy import DecisionRules, mask_state
from edge.bundle import Calibration
from edge.errors import GalleryError
from edge.face import quality
from edge.face.embed import Embedder
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.store import GalleryStore
from edge.recogniser.networks import TerminalNetworks
from edge.values import FaceResult, Match

log = logging.getLogger(__name__)

_TEMPLATES_MAX = 3  # templates that are enrolled from one passage


@dataclass(frozen=True, slots=True, eq=False)
class _EnrollmentSample:
    """Embedding by the new model of a face that the previous model matched."""

    weight: float  # 0..1, by quality
    embedding: NDArray[np.float32]  # (D,) unit norm


class ModelMigration:
    """The previous model with the templates of people who are not enrolled for the new one."""

    def __init__(
        self,
        networks: TerminalNetworks,
        previous_store: GalleryStore,
        store: GalleryStore,
        rules: DecisionRules,
    ) -> None:
        self.rules = rules  # only thresholds and their scaling are used; the rest is shared
        self.model = networks.bundle.model_digest
        self._networks, self._previous_store, self._store = networks, previous_store, store
        self._gallery = LiveGallery(previous_store)
        self._samples: dict[int, tuple[str, list[_EnrollmentSample]]] = {}  # by track
        self._enrolled: set[str] = set()  # subjects with templates of the new model
        self._is_stale = True  # until `_enrolled` is loaded
        self._load_enrolled()

    @property
    def embedder(self) -> Embedder:
        return self._networks.embedder

    @property
    def calibration(self) -> Calibration:
        """Thresholds of the previous model, as measured."""
        return self._networks.calibration

    @property
    def templates(self) -> int:
        """Number of templates of the previous model."""
        return self._gallery.templates

    @property
    def pending_subjects(self) -> list[str]:
        """Subjects without templates of the new model."""
        return sorted(set(self._previous_store.template_counts()) - self._enrolled)

    def update_rules(self, rules: DecisionRules) -> None:
        """Apply other thresholds from the next frame on."""
        self.rules = rules

    def search(self, embedding: NDArray[np.float32]) -> Match | None:
        """Return the best match of an embedding (D,) of the previous model.

        None if that subject has templates of the new model: these alone decide then.
        """
        match = self._gallery.search(embedding)
        return None if match is None or match.subject in self._enrolled else match

    def refresh(self) -> None:
        """Load what another process changed; raises GalleryError."""
        self._is_stale |= self._gallery.refresh()
        if self._is_stale:
            self._load_enrolled()

    def reload(self) -> None:
        """Load all subjects again; raises GalleryError."""
        self._is_stale = True
        self._gallery.reload()
        self._load_enrolled()

    def add_sample(self, result: FaceResult, embedding: NDArray[np.float32]) -> None:
        """Keep the new model's embedding (D,) of a face that the previous model matched.

        Only faces that pass the gate of enrollment are kept, without a mask and of one subject.
        """
        match, measured, visibility = result.decision.match, result.quality, result.visibility
        if match is None or measured is None or visibility is None:
            return
        gate = quality.ENROLLMENT_GATE
        if mask_state(result.decision.mask_worn) != "unmasked":
            return
        if gate.find_refusal(measured) or gate.find_refusal(visibility):
            return
        subject, samples = self._samples.get(result.track, (match.subject, []))
        if subject != match.subject:
            subject, samples = match.subject, []
        samples = [*samples, _EnrollmentSample(measured.weight, embedding)]
        best = sorted(samples, key=lambda sample: -sample.weight)[:_TEMPLATES_MAX]
        self._samples[result.track] = subject, best

    def enroll(self, track: int, subject: str) -> int:
        """Enroll a person for the new model after the door opened; return the number of templates.

        The samples of the track are used if they are of this subject. Errors are logged.
        """
        known, samples = self._samples.pop(track, ("", []))
        if known != subject or not samples or subject in self._enrolled:
            return 0
        try:
            self._load_enrolled()  # by the recogniser of another lane in the meantime
            if subject in self._enrolled:
                return 0
            embeddings = np.stack([sample.embedding for sample in samples])
            self._store.enroll(subject, embeddings, known_only=True)
        except GalleryError as error:
            reason = error.__cause__ or "the person was removed, or the gallery was replaced"
            log.error("a person is not enrolled for the new model: %s", reason)  # without the name
            return 0
        self._is_stale = True  # the next refresh loads it if this fails
        with contextlib.suppress(GalleryError):
            self._load_enrolled()
        return len(samples)

    def retain_tracks(self, tracks: Iterable[int]) -> None:
        """Forget the samples of all other tracks."""
        live = set(tracks)
        self._samples = {track: found for track, found in self._samples.items() if track in live}

    def close(self) -> None:
        self._networks.close()
        self._previous_store.close()
        self._store.close()

    def _load_enrolled(self) -> None:
        self._store.reopen_if_replaced()
        counts = self._store.template_counts()
        self._enrolled = {subject for subject, templates in counts.items() if templates}
        self._is_stale = False
