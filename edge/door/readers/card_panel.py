"""Interface of the adapters of access control panels."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from edge.door.readers.events import CardRead


@runtime_checkable
class CardPanel(Protocol):
    """Panel that decides about cards. Its adapter is a `Reader` as well."""

    def report(self, card: CardRead) -> int | None:
        """Report a card; return the number of the report, None if the panel takes none now.

        Callable from any thread; never waits. A `PanelAnswered` follows for each report.
        """
