"""The assertion for other people's terms finds what is wrong with them; the page that explains it runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.core.params import Block, Model
from consilience.core.terms import Score
from consilience.testing import assert_term

PAGE = Path(__file__).resolve().parents[1] / "docs" / "own-term.md"


class Length(eqx.Module):
    """|x| with one mistake of choice."""

    mistake: str = eqx.field(static=True, default="")
    name: str = eqx.field(static=True, default="length")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"other"} if self.mistake == "reads" else {"x"})

    def __call__(self, model: Model, obs: Any) -> Score:
        x = model["x"]
        if self.mistake == "gradient":
            x = x + 0.1 * (x - jax.lax.stop_gradient(x))
        if self.mistake == "block":
            return Score(jnp.sum(x * x) + jnp.sum(model["y"]), {})
        square = jnp.sum(x * x)
        if self.mistake == "origin":
            return Score(jnp.sqrt(square), {})
        return Score(jnp.sqrt(square + 1.0), {})


MODEL = Model.of(x=Block.of(np.array([1.0, 2.0, -0.5])), y=Block.of(np.array([1.0])))
ORIGIN = {"at the origin": {"x": np.zeros(3)}}


def test_a_sound_term_passes() -> None:
    report = assert_term(Length(), MODEL, hard_points=ORIGIN)
    assert report.passed and report.gradients[0].rel_error < 1e-9


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("gradient", "gradient in x is off"),
        ("block", "depends on block y"),
        ("reads", r"model lacks: \['other'\]"),
        ("origin", "at the origin: the gradient in x is not finite"),
    ],
)
def test_mistakes_are_named(mistake: str, said: str) -> None:
    with pytest.raises(AssertionError, match=f"the term length is not sound:\n.*{said}"):
        assert_term(Length(mistake), MODEL, hard_points=ORIGIN)


def test_the_page_about_own_terms_runs() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    space: dict[str, Any] = {"__name__": "own_term"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec", dont_inherit=True), space)
    assert space["done"].status == "ok"
