"""Searches for an intervention: what is ranked, what is found, that it holds on the module itself."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from tiny_dictionaries import write_transcoders
from tiny_models import tiny_model

from circuits.dictionaries.load import load_dictionary
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.errors import NotFound, UsageError
from circuits.extraction.extract import Extraction, extract
from circuits.graph.actions import Affine, Intervention
from circuits.intervene.hold import FROZEN
from circuits.intervene.session import Session
from circuits.intervene.side_effects import among_others, everywhere, from_the_end, side_effects
from circuits.intervene.steer import Reach, Steering, steer
from circuits.intervene.steer_graph import Ground, ground
from circuits.intervene.steer_search import (
    Act,
    Missed,
    Ranked,
    gap,
    intervention,
    larger,
    least,
    possible,
    various,
)
from circuits.prompt import Prompt

TEXT = "one two three four five"
TEXTS = ("a quick brown fox", "jumps over the lazy dog")


def session_of(model, dictionary, text: str) -> Session:
    trace = extract(model, dictionary, Prompt.of(text, model), Extraction(labels=False))
    return Session.of(model, dictionary, attribute(trace, (Edges(tolerance=0.0),)))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Session:
    model = tiny_model("llama")
    path = write_transcoders(tmp_path_factory.mktemp("tiny") / "t", model, "jumprelu")
    return session_of(model, load_dictionary(str(path), model), TEXT)


def likeliest(session: Session, rank: int) -> str:
    """The text of the output of a rank, 0 the likeliest."""
    order = np.argsort(-session.logits_before)
    return session.model.decode(int(order[rank]))


@pytest.fixture(scope="module")
def place(tiny: Session) -> Ground:
    return ground(tiny, likeliest(tiny, 1), texts=TEXTS)


@pytest.fixture(scope="module")
def second(tiny: Session) -> Steering:
    return steer(tiny, likeliest(tiny, 1), texts=TEXTS)


# ------------------------------------------------------------------------------ where is searched
def test_the_graph_has_the_wanted_output_its_rivals_and_features_that_are_off(
    tiny: Session, place: Ground
) -> None:
    decode, logits = tiny.model.decode, tiny.logits_before
    order = [int(i) for i in np.argsort(-logits)]
    assert place.question.wanted == order[1]
    assert place.question.rivals == (order[0], *order[2:13])
    assert place.wanted.endswith(decode(order[1]))
    off = place.graph.nodes.filter(activation=0.0, kind="feature")["node"].to_list()
    assert off
    assert len(off) == len(place.typical)
    assert {act.node for act in possible(place, 4.0) if act.full.offset} == {
        node for node in off if not node.endswith("@0")
    }


def test_a_feature_is_turned_on_to_what_it_is_where_it_is_on(tiny: Session, place: Ground) -> None:
    mlps = [layer.mlp for layer in tiny.model.module.model.layers]
    seen: dict[int, list[torch.Tensor]] = {0: [], 1: [], 2: []}
    for text in TEXTS:
        hooks = [
            mlp.register_forward_pre_hook(lambda _, x, at=at: seen[at].append(x[0][0, 1:]))
            for at, mlp in enumerate(mlps)
        ]
        with torch.no_grad():
            tiny.model.module(torch.tensor([tiny.model.encode(text)]))
        for hook in hooks:
            hook.remove()
    checked = 0
    for (layer, feature, _), value in place.typical.items():
        a = tiny.dictionary.encode(layer, torch.cat(seen[layer])).activation[:, feature]
        if bool((a != 0).any()):
            assert value == pytest.approx(float(a[a != 0].mean()), rel=1e-4)
            checked += 1
    assert checked > 20


def test_acts_leave_the_first_position_alone(place: Ground) -> None:
    acts = possible(place, 3.0)
    assert all(not act.node.endswith("@0") for act in acts)
    features = place.graph.nodes.filter(kind="feature").select("node", "activation", "pos")
    names = {node for node, activation, pos in features.iter_rows() if activation and pos}
    assert {act.node for act in acts if act.full == Affine(0, 0)} == names
    assert {act.node for act in acts if act.full == Affine(3.0, 0)} == names


# ------------------------------------------------------------------------------ what is predicted
def test_single_acts_are_ranked_as_the_graph_runs(place: Ground) -> None:
    offs = [(act,) for act in possible(place, 4.0) if act.full == Affine(0, 0)]
    ranked = Ranked.of(place, offs)
    graph, columns = place.graph, [place.wanted, *place.rivals]
    masks = np.ones((len(offs), len(graph.nodes)))
    for row, (act,) in enumerate(ranked.sets):
        masks[row, graph.row(act.node)] = 0
    values = graph.run(masks, targets=columns)
    assert np.allclose(ranked.gaps, values[:, 0] - values[:, 1:].max(axis=1), atol=1e-4)
    assert (np.diff(ranked.gaps) <= 0).all()


def test_the_best_pair_is_the_best_of_all_pairs_where_all_fit_the_pool(place: Ground) -> None:
    acts = [act for act in possible(place, 4.0) if act.node.startswith("2/")][:40]
    single = Ranked.of(place, [(act,) for act in acts])
    found = larger(place, single, single, (2, Missed()))
    every = [pair for pair in combinations(acts, 2) if pair[0].node != pair[1].node]
    best = Ranked.of(place, every)
    assert len(found.sets) == len(every)
    assert found.gaps[0] == pytest.approx(best.gaps[0], abs=1e-5)
    assert set(found.sets[0]) == set(best.sets[0])


def test_larger_sets_grow_by_one_act_of_another_feature(place: Ground) -> None:
    single = Ranked.of(place, [(act,) for act in possible(place, 4.0)])
    pairs = larger(place, single, single, (2, Missed()))
    triples = larger(place, single, pairs, (3, Missed()))
    assert triples.gaps[0] >= pairs.gaps[0] - 1e-5 or triples.gaps[0] > 0
    kept = [set(pair) for pair in pairs.sets[:40]]
    for one in triples.sets[:50]:
        assert len({act.node for act in one}) == 3
        assert any(pair < set(one) for pair in kept)


def test_what_was_missed_of_the_parts_is_taken_off_the_whole() -> None:
    a, b, c = (Act(f"1/{i}@1", Affine(0.0, 0.0)) for i in range(3))
    ranked = Ranked(((a, b), (a, c), (b, c)), np.array([3.0, 2.0, 1.0]), np.zeros((3, 2)))
    missed = Missed({frozenset({a}): -4.0, frozenset({b}): -1.0})
    assert missed.expected(ranked).tolist() == [3 - 2.5, 2 - 4, 1 - 1]
    assert missed.order(ranked) == [(a, b), (b, c), (a, c)]
    assert Missed({frozenset({a}): -4.0}).expected(ranked).tolist() == [-1.0, -2.0, -3.0]
    assert Missed().order(ranked) == list(ranked.sets)


def test_an_act_at_no_strength_is_nothing_and_at_full_strength_all() -> None:
    for full in (Affine(0.0, 0.0), Affine(4.0, 0.0), Affine(1.0, 2.5)):
        assert Act("1/2@3", full).at(0.0) == Affine(1.0, 0.0)
        assert Act("1/2@3", full).at(1.0) == full
    done = intervention((Act("1/2@3", Affine(4.0, 0.0)), Act("1/3@3", Affine(1.0, 2.0))), 0.5)
    assert done.nodes == {"1/2@3": Affine(2.5, 0.0), "1/3@3": Affine(1.0, 1.0)}


def test_the_least_strength_works_from_there_on_and_not_before(place: Ground) -> None:
    single = Ranked.of(place, [(act,) for act in possible(place, 4.0)])
    sets = [one for one, value in zip(single.sets, single.gaps, strict=True) if value > 0][:5]
    assert sets
    for one, strength in zip(sets, least(place, sets), strict=True):
        assert strength is not None
        steps = np.arange(1, 33) / 32
        weaker = [tuple(Act(a.node, a.at(float(s))) for a in one) for s in steps]
        told = Ranked.of(place, weaker)
        found = dict(zip(told.sets, told.gaps, strict=True))
        values = [found[acts] for acts in weaker]
        assert all(v > 0 for v, s in zip(values, steps, strict=True) if s >= strength)
        before = [v for v, s in zip(values, steps, strict=True) if s < strength]
        assert not before or before[-1] <= 0
    assert least(place, [single.sets[-1]]) == [None]


def test_no_act_is_in_more_than_half_of_the_sets_tried() -> None:
    acts = [Act(f"1/{i}@1", Affine(0.0, 0.0)) for i in range(8)]
    sets = [(acts[0], act) for act in acts[1:]] + [(acts[1], act) for act in acts[2:]]
    chosen = various(sets, 6)
    assert [sum(act in one for one in chosen) for act in acts[:2]] == [3, 3]
    assert len(chosen) == 5  # what is left has one of the two
    assert chosen[:3] == sets[:3]


def test_the_gap_is_over_the_strongest_rival(place: Ground) -> None:
    values = np.zeros((1, 1 + len(place.rivals)))
    values[0, :3] = 5.0, 1.0, 7.0
    assert gap(place, values).tolist() == [-2.0]


# ------------------------------------------------------------------------------ what is found
def test_steering_to_the_second_best_output_works_on_the_module(tiny: Session, second: Steering) -> None:
    """The hooks of another path through the model say the same as the session."""
    assert second.works
    assert len(second.intervention.nodes) <= 3
    ids = tiny.prompt.ids
    before, after = tiny.elsewhere(ids, second.intervention)
    wanted = second.ground.question.wanted
    assert int(before[-1].argmax()) != wanted
    assert int(after[-1].argmax()) == wanted
    measured = after[-1].astype(float)
    others = np.delete(measured, wanted)
    assert second.free == pytest.approx(measured[wanted] - others.max(), abs=1e-3)
    assert second.gap_before == pytest.approx(
        before[-1][wanted] - np.delete(before[-1], wanted).max(), abs=1e-3
    )


def test_the_prediction_is_what_is_measured_with_all_held(second: Steering) -> None:
    outcome = second.session.run([second.intervention], FROZEN)
    names = [second.ground.wanted, *second.ground.rivals]
    values = outcome.values[0, [outcome.targets.index(name) for name in names]]
    assert second.predicted == pytest.approx(values[0] - values[1:].max(), abs=1e-3)


def test_the_smallest_size_that_works_is_told_and_no_more_strength_than_needed(second: Steering) -> None:
    sizes = second.tried["size"].to_list()
    working = second.tried.filter("works")
    assert len(second.intervention.nodes) == working["size"][0] == max(sizes)
    assert 0 < second.strength <= 1


def test_steering_prints_what_to_do_and_how_to_do_it_again(second: Steering) -> None:
    text = str(second)
    assert "is enough" in text
    assert "The graph predicts" in text
    assert "circuits.steer(session" in text
    assert "SIDE EFFECTS" in text
    for node in second.intervention.nodes:
        assert node in text
    meta = second.answer.to_dict()["meta"]
    assert meta["works"] is True
    assert meta["gap"]["measured_free"] == second.free


def test_a_search_that_fails_says_so_with_the_nearest_it_came(tiny: Session) -> None:
    found = steer(tiny, likeliest(tiny, 60), budget=Reach(1, 1.01), texts=TEXTS)
    assert not found.works
    text = str(found)
    assert "Nothing found does it on the model" in text
    assert "What came nearest" in text
    assert found.free <= 0
    assert found.tried["works"].sum() == 0
    assert found.free == pytest.approx(found.tried["measured"].max(), abs=1e-3)


def test_one_output_over_another_asks_for_less_than_all(tiny: Session) -> None:
    third, fourth = likeliest(tiny, 3), likeliest(tiny, 2)
    found = steer(tiny, third, over=fourth, texts=TEXTS)
    assert found.works
    logits = tiny.elsewhere(tiny.prompt.ids, found.intervention)[1][-1]
    wanted, behind = found.ground.question.wanted, found.ground.question.over
    assert logits[wanted] > logits[behind]
    assert found.free == pytest.approx(float(logits[wanted] - logits[behind]), abs=1e-3)


def test_neurons_are_never_off_so_none_is_turned_on() -> None:
    model = tiny_model("gpt2")
    session = session_of(model, load_dictionary("neurons", model), TEXT)
    place = ground(session, likeliest(session, 1), texts=TEXTS)
    assert not place.typical
    assert all(act.full.offset == 0 for act in possible(place, 4.0))


@pytest.mark.parametrize(
    ("toward", "options", "error", "said"),
    [
        (0, {}, UsageError, "already"),
        (1, {"over": 2}, UsageError, "likelier than"),
        (1, {"budget": 0}, UsageError, "leaves nothing to do"),
        (1, {"budget": -3}, UsageError, "leaves nothing to do"),
        (" nowhere to be found", {}, (UsageError, NotFound), "token"),
    ],
)
def test_what_cannot_be_asked_is_refused(tiny: Session, toward, options: dict, error, said: str) -> None:
    word = likeliest(tiny, toward) if isinstance(toward, int) else toward
    given = {k: likeliest(tiny, v) if k == "over" else v for k, v in options.items()}
    with pytest.raises(error, match=said):
        steer(tiny, word, texts=TEXTS, **given)


@pytest.mark.parametrize("strongest", [1.0, 0.0, float("inf"), float("nan")])
def test_a_reach_that_amplifies_nothing_is_refused(strongest: float) -> None:
    with pytest.raises(UsageError, match="factor above 1"):
        Reach(2, strongest)


# ------------------------------------------------------------------------------ what else it does
def test_places_are_found_in_another_text_from_its_end_and_everywhere() -> None:
    one = Intervention("x", {"1/2@3": Affine(2.0, 0.0), "1/2@4": Affine(3.0, 0.0), "0/5@1": Affine(0.0, 0.0)})
    assert from_the_end(one, -2).nodes == {"1/2@1": Affine(2.0, 0.0), "1/2@2": Affine(3.0, 0.0)}
    assert from_the_end(one, 1).nodes.keys() == {"1/2@4", "1/2@5", "0/5@2"}
    assert everywhere(one).nodes == {"1/2": Affine(2.0, 0.0), "0/5": Affine(0.0, 0.0)}
    assert from_the_end(Intervention("y", {"1/2": Affine(0.0, 0.0)}), -9).nodes == {"1/2": Affine(0.0, 0.0)}


def test_side_effects_are_the_divergence_of_the_next_token(tiny: Session) -> None:
    nothing = side_effects(tiny, Intervention("same", {"1/5@4": Affine(1.0, 0.0)}), texts=TEXTS)
    assert nothing["kl"].to_list() == pytest.approx([0.0, 0.0], abs=1e-9)
    done = Intervention("off", {f"2/{i}@4": Affine(0.0, 0.0) for i in range(40)})
    table = side_effects(tiny, done, texts=TEXTS)
    assert table["kl"].is_sorted(descending=True)
    for text, kl, staying in table.select("text", "kl", "kl_everywhere").iter_rows():
        n = len(text.split())
        for nodes, told in (
            ({f"2/{i}@{n - 1}": Affine(0.0, 0.0) for i in range(40)}, kl),
            ({f"2/{i}@{p}": Affine(0.0, 0.0) for i in range(40) for p in range(n)}, staying),
        ):
            before, after = (
                torch.log_softmax(torch.tensor(part[-1]).double(), dim=0)
                for part in tiny.elsewhere(text, Intervention("literal", nodes))
            )
            assert told == pytest.approx(float((before.exp() * (before - after)).sum()), abs=1e-6)
            assert told > 1e-4


def test_among_others_leaves_out_the_tokens_meant() -> None:
    before, after = np.array([9.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 2.0, 3.0])
    assert among_others(before, after, [0]) == pytest.approx(0.0, abs=1e-12)
    assert among_others(before, after, []) > 1
    p = np.array([0.5, 0.5])
    q = np.array([0.9, 0.1])
    literal = float((p * np.log(p / q)).sum())
    assert among_others(np.log([1e-9, 0.5, 0.5]), np.log([0.3, 0.9, 0.1]), [0]) == pytest.approx(literal)
