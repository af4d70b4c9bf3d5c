"""Which transactions a store could execute at all."""

from __future__ import annotations

from typing import Final

from ..operations import Transact

_ACTIONS_MAX: Final = 100
_TOKEN_CHARACTERS_MAX: Final = 36


def check_transaction(transaction: Transact) -> None:
    """Raise ``ValueError`` unless it has 1 to 100 actions, each on its own key, and a token of 1 to 36 letters."""
    actions = transaction.actions
    if not 1 <= len(actions) <= _ACTIONS_MAX:
        raise ValueError(f"a transaction has 1 to {_ACTIONS_MAX} actions, not {len(actions)}")
    if len({action.key for action in actions}) < len(actions):
        raise ValueError("a transaction acts once on each item")
    if not 1 <= len(transaction.token) <= _TOKEN_CHARACTERS_MAX:
        raise ValueError(f"a transaction's token has 1 to {_TOKEN_CHARACTERS_MAX} characters")
