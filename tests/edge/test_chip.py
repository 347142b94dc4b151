from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import chip
from edge.face.embed import Embedder


@given(
    angle=st.floats(-np.pi, np.pi),
    scale=st.floats(0.2, 8),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
)
def test_similarity_inverts_transform(angle: float, scale: float, x: float, y: float) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = chip.REFERENCE_XY @ turn.T + (x, y)
    transform = chip.similarity(moved, chip.REFERENCE_XY)
    assert np.allclose(moved @ transform[:, :2].T + transform[:, 2], chip.REFERENCE_XY, atol=1e-6)
    back = chip.invert(transform)
    assert np.allclose(chip.REFERENCE_XY @ back[:, :2].T + back[:, 2], moved, atol=1e-6)


def test_similarity_never_mirrors() -> None:
    mirrored = chip.REFERENCE_XY * (-1, 1)
    assert np.linalg.det(chip.similarity(mirrored, chip.REFERENCE_XY)[:, :2]) > 0


@pytest.mark.parametrize("points", [np.full((5, 2), 7.0), np.full((5, 2), np.nan)])
def test_degenerate_points_raise(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="distinct finite points"):
        chip.similarity(points, chip.REFERENCE_XY)


def test_align_brings_landmarks_to_their_place() -> None:
    image = np.zeros((400, 500, 3), np.uint8)
    landmarks = chip.REFERENCE_XY * 2.5 + (120, 40)
    for x, y in landmarks.round().astype(int):
        image[y - 3 : y + 4, x - 3 : x + 4] = 255
    aligned = chip.align(image, landmarks)
    for x, y in chip.REFERENCE_XY.round().astype(int):
        assert aligned[y, x].min() > 200


def test_input_is_rgb_in_unit_range() -> None:
    blue = np.zeros((1, 112, 112, 3), np.uint8)
    blue[..., 0] = 255  # BGR
    ready = chip.to_input(blue)
    assert ready.shape == (1, 3, 112, 112) and ready.dtype == np.float32
    assert ready[0, 2].min() == 1.0 and ready[0, :2].max() == -1.0


@pytest.mark.parametrize("shape", [(112, 112, 3), (1, 112, 112, 1), (1, 100, 112, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected chips of shape \(N, 112, 112, 3\)"):
        chip.to_input(np.zeros(shape, np.uint8))


def test_swapped_colours_would_be_noticed(
    embedder: Embedder, collins_chip: np.ndarray, bundle_path: object
) -> None:
    """A known embedding shows a channel swap in both enrollment and recognition (frigate#23712)."""
    with np.load(f"{bundle_path}/parity.npz", allow_pickle=False) as archive:
        known = archive["embedding"][0] / np.linalg.norm(archive["embedding"][0])
    right = embedder.embed(collins_chip[None])[0].embedding @ known
    swapped = (
        embedder.embed(np.ascontiguousarray(collins_chip[..., ::-1])[None])[0].embedding @ known
    )
    assert right > 0.99
    assert swapped < right - 0.01
