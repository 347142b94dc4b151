"""Requests that are executed once for each Idempotency-Key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Header
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from edge.console.idempotency import KEY_MAX, IdempotencyStore, StoredAnswer
from edge.console.problem_error import ProblemError
from edge.console.problems import MEDIA_TYPE, problem_fields
from edge.errors import MfsaError

IdempotencyKey = Annotated[
    str,
    Header(
        min_length=1,
        max_length=KEY_MAX,
        pattern=r"^[!-~]+$",
        description="new for each command, such as a UUID. A repeated request with the same "
        "key is answered as the first one, and not executed again, for a day",
        examples=["0f1c3c7e-2f0a-4b3e-9d43-2f6f2f0f8a11"],
    ),
]


async def execute_once(
    keys: IdempotencyStore,
    user: str,
    key: str,
    request: Mapping[str, Any],
    now: float,
    work: Callable[[], Awaitable[BaseModel]],
) -> Response:
    """Return the answer of `work`, or of the first request with the key.

    Raises ProblemError if the key cannot be used, MfsaError if nothing was executed.
    """
    # Threads of anyio, not of asyncio: readers of events may occupy all of those.
    stored = await to_thread.run_sync(keys.begin, user, key, request, now)
    if stored is not None:
        return answer_response(stored, is_repeated=True)
    try:
        done = await work()
        answer = StoredAnswer(HTTPStatus.OK, done.model_dump(mode="json"))
    except ProblemError as error:
        fields = problem_fields(error.status, error.detail, error.code)
        answer = StoredAnswer(error.status, fields)
    except MfsaError:
        await to_thread.run_sync(keys.forget, user, key)
        raise
    await to_thread.run_sync(keys.finish, user, key, answer)
    return answer_response(answer, is_repeated=False)


def answer_response(answer: StoredAnswer, *, is_repeated: bool) -> Response:
    """Return the response of an answer."""
    headers = {"idempotent-replayed": "true"} if is_repeated else {}
    media_type = "application/json" if answer.status == HTTPStatus.OK else MEDIA_TYPE
    return JSONResponse(dict(answer.body), answer.status, headers, media_type)
