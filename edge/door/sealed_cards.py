"""Card numbers for an access control panel, encrypted under the key of the credentials.

Digests are not enough: the number is sent to the panel. Imported only if people have such cards.
"""

from __future__ import annotations

from edge.errors import DoorError
from edge.names import name_key
from edge.system.crypto import AeadBox, DecryptionError
from edge.system.key_derivation import derive_key

_PURPOSE = "panel card 1"


class PanelCardBox:
    """Encrypts the card of a person, bound to the name."""

    def __init__(self, key: bytes) -> None:
        self._box = AeadBox(derive_key(key, _PURPOSE), _PURPOSE.encode())

    def encrypt(self, name: str, text: str) -> str:
        """Return the encrypted card in hex."""
        return self._box.encrypt(text.encode(), name_key(name).encode()).hex()

    def decrypt(self, name: str, sealed: str) -> str:
        """Return the card. Raises DoorError if it was changed or belongs to another person."""
        try:
            return self._box.decrypt(bytes.fromhex(sealed), name_key(name).encode()).decode()
        except DecryptionError as error:
            raise DoorError(
                f"{name!r}: the panel card cannot be decrypted; set it again with edge-door person"
            ) from error
