from __future__ import annotations

import pytest
from pydantic import ValidationError

from train.recipe import AdaptRecipe, Recipe, TrainingRecipe

LABELLED = {"sources": ["people"]}
UNLABELLED = {"sources": ["people"], "unlabelled": ["people"]}
NO_LOSS = {"distil": 0, "relation": 0}


def is_accepted(kind: type[TrainingRecipe], data: dict[str, object], loss: dict[str, int]) -> bool:
    try:
        kind.model_validate({"data": data, "loss": loss, "chips": 1000}, strict=False)
    except ValidationError as error:
        assert "no loss for identities" in str(error)
        return False
    return True


@pytest.mark.parametrize("name", ["distil", "relation", "neighbours", "match"])
@pytest.mark.parametrize("data", [LABELLED, UNLABELLED], ids=["labelled", "unlabelled"])
def test_each_teacher_loss_trains_identities(data: dict[str, object], name: str) -> None:
    loss = NO_LOSS | {name: 1}
    assert is_accepted(AdaptRecipe, data, loss)
    assert is_accepted(Recipe, data | {"teacher": "teacher.npz"}, loss)
    assert not is_accepted(Recipe, data, loss)


def test_arcface_trains_identities_of_labels() -> None:
    loss = NO_LOSS | {"arcface": 1}
    for kind in (AdaptRecipe, Recipe):
        assert is_accepted(kind, LABELLED, loss)
        assert not is_accepted(kind, UNLABELLED, loss)


@pytest.mark.parametrize("name", ["alikeness", "similarity", "mask", "adversary"])
def test_other_losses_train_no_identities(name: str) -> None:
    loss = NO_LOSS | {name: 1}
    assert not is_accepted(AdaptRecipe, LABELLED, loss)
    assert not is_accepted(Recipe, LABELLED | {"teacher": "teacher.npz"}, loss)
