"""Removal of people and change of their rights, in gallery and door together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edge.config import TerminalConfig
from edge.errors import GalleryError
from edge.names import name_key
from edge.people.author import ChangeAuthor
from edge.people.clock import save_clock_trust
from edge.people.rights import change_rights, read_rights, remove_rights
from edge.subject import RightsChange

if TYPE_CHECKING:
    from edge.gallery.opening import OpenedGallery
    from edge.gallery.store import GalleryStore


class NotEnrolledError(GalleryError):
    """A person is not in the gallery."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is not enrolled; edge-gallery list shows who is")


@contextmanager
def open_existing(config: TerminalConfig) -> Iterator[OpenedGallery]:
    """Open the gallery with people of all models; a process of root becomes its owner.

    Raises GalleryError, also if there is none.
    """
    from edge.gallery.opening import open_gallery

    check_gallery_exists(config)
    opened = open_gallery(config, allow_other_models=True)
    save_clock_trust(config)
    with closing(opened.store):
        yield opened


def check_gallery_exists(config: TerminalConfig) -> None:
    """Raise GalleryError if the terminal has no gallery."""
    from edge.gallery.key import has_gallery

    if not has_gallery(config):
        raise GalleryError(
            f"{config.gallery_path}: no gallery yet; it is made by the first edge-enroll, by "
            "edge-gallery import, or from a backup by edge-gallery restore"
        )


def confirm(config: TerminalConfig, store: GalleryStore) -> None:
    """Wait until a running recogniser has the store's present state. Raises GalleryError."""
    from edge.gallery.confirmation import await_confirmation

    await_confirmation(config, store.read_position())


def remove_people(
    config: TerminalConfig,
    names: Sequence[str],
    author: ChangeAuthor,
    on_erased: Callable[[str, int], None],
) -> list[str]:
    """Erase people from gallery and door; return those who were at the door only.

    `on_erased` receives name and number of templates of each person as soon as the gallery has no
    data of them. Raises NotEnrolledError before anything is erased, GalleryError, DoorError.
    """
    at_door = read_rights(config) or {}
    by_key = {name_key(name): name for name in names}
    with remove_rights(config, author) as removal, open_existing(config) as opened:
        store = opened.store
        enrolled = [name for name in by_key.values() if store.find_record(name) is not None]
        for key, name in by_key.items():
            if name not in enrolled and key not in at_door:
                raise NotEnrolledError(name)
        removal.begin(list(by_key.values()))
        for name in enrolled:
            on_erased(name, store.remove(name))
        confirm(config, store)
        removal.erased.update(by_key.values())
    return [name for name in by_key.values() if name not in enrolled]


def change_person(
    config: TerminalConfig,
    name: str,
    attributes: Mapping[str, Any],
    rights: RightsChange,
    author: ChangeAuthor,
) -> None:
    """Change attributes in the gallery and rights at the door of an enrolled person.

    Raises NotEnrolledError, ConfigError, GalleryError, DoorError.
    """
    with change_rights(config, {name: rights}, author) as done, open_existing(config) as opened:
        record = opened.store.find_record(name)
        if record is None:
            raise NotEnrolledError(name)
        if attributes:
            opened.store.update_attributes(name, replace(record, **attributes))
        done.add(name)
        confirm(config, opened.store)
