"""Rights of a person: fields of a form, and their description."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from http import HTTPStatus

from pydantic import ValidationError

from edge.access.rules.values import AuthMode
from edge.console.people_actions import describe_invalid
from edge.console.problem_error import ProblemError
from edge.console.translation import mark
from edge.errors import ConfigError
from edge.names import parse_groups
from edge.parsing import parse_day
from edge.people_protocol import RightsBody

MODES = {
    AuthMode.FACE: mark("Face"),
    AuthMode.CARD_AND_FACE: mark("Card and face"),
    AuthMode.PIN_AND_FACE: mark("PIN and face"),
    AuthMode.CARD: mark("Card"),
    AuthMode.PIN: mark("PIN"),
}


def read_rights(form: Mapping[str, str]) -> RightsBody:
    """Return all rights of a form, an empty field as none. Raises ProblemError."""
    uses = form.get("max_uses", "").strip()
    try:
        return RightsBody.model_validate(
            {
                "groups": parse_groups(form.get("groups", "")),
                "valid_from": _read_day(form.get("valid_from", "")),
                "valid_until": _read_day(form.get("valid_until", "")),
                "extended": form.get("extended") == "true",
                "max_uses": int(uses) if uses else None,
                "mode": form.get("mode") or None,
                "anti_passback_exempt": form.get("anti_passback_exempt") == "true",
            }
        )
    except ValidationError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, describe_invalid(error)) from error
    except (ConfigError, ValueError) as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error


def changed_rights(form: Mapping[str, str], before: RightsBody) -> RightsBody:
    """Return the rights of a form that differ from those before; raises ProblemError."""
    wanted = read_rights(form).model_dump()
    known = before.model_dump()
    return RightsBody(**{name: value for name, value in wanted.items() if value != known[name]})


def _read_day(text: str) -> date | None:
    return parse_day(text.strip()) if text.strip() else None
