"""Query parameters of the API."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import Query
from pydantic import AwareDatetime

from edge.console.api.models import CURSOR
from edge.console.problem_error import ProblemError
from edge.console.records.cursor import CURSOR_MAX, Cursor, parse_cursor
from edge.console.records.events import EventFilter
from edge.console.records.log_file import TimeSpan
from edge.console.user_view import UserView
from edge.errors import RecordError

LIMIT_MAX = 500
_Text = Annotated[str, Query(max_length=128)]


@dataclass(frozen=True, slots=True)
class FilterQuery:
    """Selection of events; a FastAPI dependency."""

    log: Annotated[_Text, Query(description="name of a log", examples=["door"])] = ""
    kind: Annotated[
        _Text, Query(description="kind, event or verdict, see codes.md", examples=["refused"])
    ] = ""
    verdict: Annotated[_Text, Query(description="verdict of a decision")] = ""
    reason: Annotated[_Text, Query(description="code of the reason")] = ""
    subject: Annotated[_Text, Query(description="person, in any spelling", examples=["Ada"])] = ""
    lane: Annotated[_Text, Query(description="lane of a door")] = ""
    since: Annotated[
        AwareDatetime | None, Query(description="not before this time, with its UTC offset")
    ] = None
    until: Annotated[
        AwareDatetime | None, Query(description="before this time, with its UTC offset")
    ] = None

    def selection(self, view: UserView) -> EventFilter:
        """Return the filter of what a user may read."""
        times = TimeSpan(
            self.since.timestamp() if self.since else None,
            self.until.timestamp() if self.until else None,
        )
        return EventFilter(
            self.log, self.kind, self.verdict, self.reason, self.subject, self.lane, times,
            view.shows,
        )  # fmt: skip


CursorText = Annotated[
    str | None,
    Query(max_length=CURSOR_MAX, description="cursor of a page, or `start`", examples=[CURSOR]),
]


def read_cursor(text: str) -> Cursor:
    """Parse a cursor of a request. Raises ProblemError."""
    try:
        return parse_cursor(text)
    except RecordError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), "invalid-cursor") from error
