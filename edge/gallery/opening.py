"""Opening of a terminal's gallery by a command."""

from __future__ import annotations

from dataclasses import dataclass

from edge.bundle import Bundle, open_bundle
from edge.chip import PREPROCESSING
from edge.config import TerminalConfig
from edge.gallery.key import load_key_and_drop_privileges
from edge.gallery.store import GalleryStore, open_store


@dataclass(frozen=True, slots=True, eq=False)
class OpenedGallery:
    """Gallery of a terminal, and the bundle whose templates it shows."""

    bundle: Bundle
    store: GalleryStore


def open_gallery(
    config: TerminalConfig, *, allow_other_models: bool | None = None
) -> OpenedGallery:
    """Open the gallery as its owner, and create it if it does not exist yet.

    A process of root becomes the owner of the state folder first, for good.
    `allow_other_models`: also open a gallery without templates that this bundle's model accepts;
    None: only during a model migration. Raises BundleError, GalleryError.
    """
    key = load_key_and_drop_privileges(config)
    bundle = open_bundle(config.bundle, PREPROCESSING)
    if allow_other_models is None:
        allow_other_models = config.previous_bundle is not None
    store = open_store(
        config,
        bundle.model_digest,
        key,
        compatible_with=bundle.compatible_with,
        allow_other_models=allow_other_models,
        dimension=bundle.manifest.embedding,
    )
    return OpenedGallery(bundle, store)
