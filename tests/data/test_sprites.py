"""Sprites have the intrinsic dimension they are drawn with."""

import numpy as np
import pytest
import skdim

from workflow_scripts.data import sprites


@pytest.mark.parametrize("factors", [1, 2, 3, 4])
def test_the_intrinsic_dimension_is_the_number_of_factors(factors: int) -> None:
    # Along a single factor, denser images would differ by less than the rounding of their values.
    count = 800 if factors == 1 else 3000
    values = sprites.draw_factors(count, factors, seed=0)
    images = sprites.render(values, np.zeros(count, dtype=int), 24, 1)
    unique = np.unique(images.reshape(count, -1), axis=0).astype(float)
    assert len(unique) > 0.9 * count
    assert skdim.id.MLE(K=20).fit(unique).dimension_ == pytest.approx(factors, rel=0.15)


def test_sprites_are_seeded_grey_or_coloured_and_inside_the_frame() -> None:
    values = sprites.draw_factors(64, 6, seed=3)
    shapes = np.arange(64) % len(sprites.SHAPES)
    grey, colour = (sprites.render(values, shapes, 32, channels) for channels in (1, 3))
    assert grey.shape == (64, 32, 32, 1)
    assert (colour == grey).all()
    assert grey.max(axis=(1, 2, 3)).min() > 60
    border = np.concatenate([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], axis=1)
    assert border.max() < 64
    np.testing.assert_array_equal(sprites.draw_factors(64, 6, 3)["angle"], values["angle"])
    assert not np.array_equal(sprites.draw_factors(64, 6, 4)["x"], values["x"])
