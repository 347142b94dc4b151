"""Events in the audit log of the console."""

from __future__ import annotations

from edge.codes import Code


class ConsoleEvent(Code):
    """Field `event` of a record of the console. Values are stored: never change one."""

    LOGIN = "login", "a user logged in"
    LOGIN_FAILED = "login-failed", "name, password or code of a login was wrong"
    LOCKED_OUT = "locked-out", "too many failed logins of an account or address"
    LOGOUT = "logout", "a user logged out"
    PASSWORD_SET = "password-set", "a user set a password"
    PASSWORD_RESET = "password-reset", "a password was removed, a one-time code was issued"
    TOTP_SET = "totp-set", "a user set up an authenticator app"
    TOTP_REMOVED = "totp-removed", "an authenticator app was removed"
    USER_ADDED = "user-added", "a user was added, a one-time code was issued"
    USER_DISABLED = "user-disabled", "a user was disabled"
    USER_ENABLED = "user-enabled", "a user was enabled again"
    ROLE_CHANGED = "role-changed", "a user got another role"
    TOKEN_MADE = "token-made", "an API token was made"
    TOKEN_REVOKED = "token-revoked", "an API token was revoked"
    PERMISSION_REFUSED = "permission-refused", "a request lacked a permission"
    PERSON_ENROLLMENT = "person-enrollment", "a user asked to enroll a person"
    PERSON_REMOVAL = "person-removal", "a user asked to erase a person"
    PERSON_RIGHTS = "person-rights", "a user asked to change the rights of a person"
    PICTURE_SHOWN = "picture-shown", "a user asked for the evidence picture of a decision"
    CERTIFICATE_MADE = "certificate-made", "the console made a certificate for itself"
