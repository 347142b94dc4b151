"""Between two models: whoever has no template of the new one yet is recognised by the one before, and then enrolled for the new."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.access.policy import Rules, mask_state
from edge.bundle import Calibration
from edge.config import TerminalConfig
from edge.config.access import PolicyConfig
from edge.errors import GalleryError
from edge.face import quality
from edge.face.embed import Embedder
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.schema import LOOP_LOCK_WAIT_S
from edge.gallery.store import GalleryStore, open_store
from edge.recogniser.networks import TerminalNetworks, open_networks
from edge.values import FaceResult, Match

log = logging.getLogger(__name__)

_TEMPLATES = 3  # that one passage gives at most


@dataclass(slots=True, eq=False)
class _EnrollmentSample:
    """What the new model said of a face that the one before knows."""

    weight: float
    embedding: NDArray[np.float32]


class ModelMigration:
    """The model before, with what it knows of people who have not passed by since."""

    def __init__(
        self,
        networks: TerminalNetworks,
        store_before: GalleryStore,
        store: GalleryStore,
        rules: Rules,
    ) -> None:
        self.rules = rules  # only thresholds and their growth are read; the rest is shared
        self.model = networks.bundle.model_digest
        self._networks, self._store_before, self._store = networks, store_before, store
        self._gallery = LiveGallery(store_before)
        self._seen: dict[int, tuple[str, list[_EnrollmentSample]]] = {}  # by track
        self._is_behind = True  # until the subjects with templates of the new model are known
        self._load_enrolled()

    @property
    def embedder(self) -> Embedder:
        return self._networks.embedder

    @property
    def calibration(self) -> Calibration:
        """Thresholds of the previous model, as measured."""
        return self._networks.calibration

    def update_rules(self, rules: Rules) -> None:
        """Apply other thresholds from the next frame on."""
        self.rules = rules

    @property
    def templates(self) -> int:
        return self._gallery.templates

    @property
    def pending_subjects(self) -> list[str]:
        """Who has not passed by yet."""
        return sorted(set(self._store_before.template_counts()) - self._enrolled)

    def search(self, embedding: NDArray[np.float32]) -> Match | None:
        """The best of all, if that person has no template of the new model: who has is judged by that alone."""
        match = self._gallery.search(embedding)
        return None if match is None or match.subject in self._enrolled else match

    def refresh(self) -> None:
        """Load what another process changed; raises GalleryError."""
        self._is_behind |= self._gallery.refresh()
        if self._is_behind:
            self._load_enrolled()

    def reload(self) -> None:
        """Load all subjects again; raises GalleryError."""
        self._is_behind = True
        self._gallery.reload()
        self._load_enrolled()

    def add_sample(self, sighting: FaceResult, embedding: NDArray[np.float32]) -> None:
        """What the new model says (D,) of a face that the one before found in the gallery. Only faces that would do for
        enrollment are kept, and only those of one person."""
        match, measured, visible = sighting.decision.match, sighting.quality, sighting.visibility
        if (
            match is None
            or measured is None
            or visible is None
            or mask_state(sighting.decision.mask_worn) != "unmasked"
        ):
            return
        if quality.ENROLLMENT_GATE.find_refusal(measured) or quality.ENROLLMENT_GATE.find_refusal(
            visible
        ):
            return
        subject, seen = self._seen.get(sighting.track, (match.subject, []))
        if subject != match.subject:
            subject, seen = match.subject, []
        seen.append(_EnrollmentSample(measured.weight, embedding))
        self._seen[sighting.track] = subject, sorted(seen, key=lambda one: -one.weight)[:_TEMPLATES]

    def enroll(self, track: int, subject: str) -> int:
        """The door opened for a person by the model before: enroll what the new one saw on the way; how many templates."""
        known, seen = self._seen.pop(track, ("", []))
        if known != subject or not seen or subject in self._enrolled:
            return 0
        try:
            self._store.reopen_if_replaced()
            self._store.enroll(subject, np.stack([one.embedding for one in seen]), known_only=True)
        except GalleryError as error:
            why = error.__cause__ or "the person was removed, or the gallery was replaced"
            log.error("a person is not enrolled for the new model: %s", why)  # without the name
            return 0
        self._is_behind = True  # the next refresh learns it, if this fails
        with contextlib.suppress(GalleryError):
            self._load_enrolled()
        return len(seen)

    def retain_tracks(self, tracks: set[int]) -> None:
        """Forget all other tracks."""
        self._seen = {track: seen for track, seen in self._seen.items() if track in tracks}

    def close(self) -> None:
        self._networks.close()
        self._store_before.close()
        self._store.close()

    def _load_enrolled(self) -> None:
        self._store.reopen_if_replaced()
        self._enrolled = {
            name for name, templates in self._store.template_counts().items() if templates
        }
        self._is_behind = False


def open_model_migration(
    config: TerminalConfig,
    model: str,
    key: bytes,
    build_rules: Callable[[PolicyConfig, Calibration], Rules],
) -> ModelMigration | None:
    """What the config says of the model before, None where it names none. Raises BundleError, EngineError, GalleryError."""
    if config.previous_bundle is None:
        return None
    networks = open_networks(config.model_copy(update={"bundle": config.previous_bundle}))
    before = open_store(
        config,
        networks.bundle.model_digest,
        key,
        allow_other_models=True,
        dimension=networks.embedder.dimension(),
        read_only=True,
        lock_wait_s=LOOP_LOCK_WAIT_S,
    )
    now = open_store(config, model, key, allow_other_models=True, lock_wait_s=LOOP_LOCK_WAIT_S)
    changeover = ModelMigration(
        networks, before, now, build_rules(config.policy, networks.calibration)
    )
    log.info(
        "changeover from model %s: %d people have not passed by yet",
        changeover.model[:12],
        len(changeover.pending_subjects),
    )
    return changeover
