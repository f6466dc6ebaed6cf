"""Left free, the model does what its own module does under hooks: every architecture, every kind."""

from __future__ import annotations

import numpy as np
import pytest
from extraction import dictionaries, model_of
from literal_interventions import logits_under
from test_intervene_frozen import SETS, run_of
from tiny_models import ARCHITECTURES
from tiny_saes import tiny_clt

from circuits.graph.actions import Affine, Intervention
from circuits.intervene.hold import FREE
from circuits.intervene.session import Session
from circuits.schema import feature_name


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    return dictionaries(tmp_path_factory.mktemp("sets"))


def trials(session: Session) -> list[dict[tuple[int, int, int], tuple[float, float]]]:
    """Features in the graph and not, one and several, at one position and at all."""
    n, layers = len(session.prompt.ids), session.dictionary.layers
    some = [(layer, i, p) for layer in layers for i, p in ((3, 1), (17, n - 1), (8, n - 2))]
    return [
        *({place: (0.0, 1.3)} for place in some),
        dict.fromkeys(some, (0.0, 0.0)),
        {some[0]: (-2.0, 0.0), some[-1]: (1.0, 0.7)},
        {(layers[0], 5, p): (1.0, 2.0) for p in range(n)},
    ]


def named(done) -> Intervention:
    return Intervention("one", {feature_name(*place): Affine(*affine) for place, affine in done.items()})


def assert_as_the_module(session: Session) -> None:
    done = trials(session)
    found = session.run([named(one) for one in done], FREE, batch=2)  # begin at different positions
    for one, logits, values in zip(done, found.logits, found.values, strict=True):
        own = logits_under(session.model, session.dictionary, session.prompt.ids, one)[-1].numpy()
        np.testing.assert_allclose(logits, own, rtol=1e-4, atol=1e-4)
        if session.model.anatomy.logit_softcap is None:
            expected = [t_value(own, t.ids) for t in session.targets]
            np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)
    moved = np.abs(found.logits - found.logits_before).max(axis=1)
    assert (moved[1:] > 1e-3).sum() >= len(done) / 2


def t_value(logits, ids) -> float:
    return logits[ids[0]] - (logits[ids[1]] if len(ids) == 2 else logits.mean())


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "gpt2-upcast"])
def test_left_free_the_model_does_what_its_module_does(name: str) -> None:
    model = model_of(name)
    _, session = run_of(model, tiny_clt(model, "jumprelu"))
    assert_as_the_module(session)


@pytest.mark.parametrize("kind", [kind for kind in SETS if kind not in ("clt", "no gain")])
def test_every_kind_of_dictionary_acts_where_it_writes(kind: str, make) -> None:
    for name in ("gemma2", "neox"):
        model = model_of(name)
        _, session = run_of(model, SETS[kind](make, model))
        assert_as_the_module(session)
