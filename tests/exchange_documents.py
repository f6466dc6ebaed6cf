"""Attribution-graph documents for tests: one written by hand, and strategies that make any."""

from __future__ import annotations

import copy

from hypothesis import strategies as st
from literal_frontend import cantor

TOKENS = ["<bos>", "The", " capital", " of", " Texas", " is"]


def node(id_, kind, layer, pos, feature=None, **more):
    base = {"node_id": id_, "feature": feature, "layer": layer, "ctx_idx": pos, "feature_type": kind}
    return base | {"jsNodeId": id_, "clerp": ""} | more


def feature(layer, number, pos, **more):
    kind = "cross layer transcoder"
    return node(f"{layer}_{number}_{pos}", kind, str(layer), pos, cantor(layer, number), **more)


def link(source, target, weight, **more):
    return {"source": source, "target": target, "weight": weight, **more}


_AUSTIN = {
    "metadata": {
        "slug": "austin",
        "scan": "gemma-2-2b",
        "prompt_tokens": TOKENS,
        "prompt": "The capital of Texas is",
        "schema_version": 1,
        "node_threshold": 0.7,
        "title_prefix": "a key of Anthropic's",
        "info": {"generator": {"name": "somebody's tool", "version": "3"}, "creator_name": "X"},
    },
    "qParams": {
        "pinnedIds": ["0_9_4", "2_7_5", "9_500_5"],
        "supernodes": [["Texas", "0_9_4", "1_3_4"], ["say Austin", "2_7_5"]],
        "linkType": "both",
        "clickedId": "9_500_5",
        "sg_pos": "1 2 3",
        "unheard": {"of": [1, None, True]},
    },
    "nodes": [
        *(node(f"E_{10 + p}_{p}", "embedding", "E", p, p, token=t) for p, t in enumerate(TOKENS)),
        feature(0, 9, 4, clerp="Texas", activation=2.0, influence=0.4),
        feature(1, 3, 4, clerp="", activation=4.0, influence=0.6, extra=[1, {"a": 2}]),
        feature(2, 7, 5, clerp="say Austin", activation=0.5, influence=0.2),
        node("1_-1_4", "mlp reconstruction error", "1", 4, -1, influence=0.9),
        node("9_500_5", "logit", "9", 5, 500, clerp='Output " Austin" (p=0.800)', token_prob=0.8),
        node("9_501_5", "logit", "9", 5, 501, clerp='Output " Dallas" (p=0.100)', token_prob=0.1),
    ],
    "links": [
        link("E_14_4", "0_9_4", 2.0),
        link("0_9_4", "1_3_4", 3.0, note="kept"),
        link("E_12_2", "2_7_5", 0.25),
        link("1_3_4", "2_7_5", 0.5),
        link("1_-1_4", "2_7_5", -0.25),
        link("2_7_5", "9_500_5", 4.0),
        link("0_9_4", "9_500_5", 1.0),
        link("2_7_5", "9_501_5", -2.0),
        link("E_15_5", "9_501_5", 0.5),
    ],
    "not ours": {"qk": [1, 2.5, "x"]},
}


def austin():
    """A document with labels, groups, unknown keys of every place, and one output against another."""
    return copy.deepcopy(_AUSTIN)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
more = st.dictionaries(st.sampled_from(["x", "run_idx", "token_prob", "é", "vis_link"]), anything, max_size=2)
weights = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda w: w == 0 or abs(w) > 1e-6)
shares = st.none() | st.floats(0, 1)


@st.composite
def documents(draw):
    """Any document of the format: any keys besides, features, errors, words, outputs, links that run up."""
    n_tokens, n_layers = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    nodes, ranks = [], {}

    def add(made, rank):
        for key in draw(st.lists(st.sampled_from(["influence", "activation"]), unique=True)):
            made[key] = draw(shares)
        made |= {"clerp": draw(texts)} if rank[1] != "logit" else {}
        nodes.append(draw(more) | made)
        ranks[made["node_id"]] = rank[0]

    for pos in range(n_tokens):
        add(
            node(
                f"E_{draw(st.integers(0, 99))}_{pos}", "embedding", "E", pos, draw(st.none() | st.just(pos))
            ),
            (0, ""),
        )
    places = st.tuples(st.integers(0, n_layers - 1), st.integers(0, 300), st.integers(0, n_tokens - 1))
    for layer, number, pos in draw(st.lists(places, max_size=6, unique=True)):
        add(feature(layer, number, pos), (1 + 2 * layer, ""))
    errors = st.tuples(st.integers(0, n_layers - 1), st.integers(0, n_tokens - 1))
    for layer, pos in draw(st.lists(errors, max_size=3, unique=True)):
        add(node(f"{layer}_-1_{pos}", "mlp reconstruction error", str(layer), pos, -1), (2 + 2 * layer, ""))
    for number in draw(st.lists(st.integers(0, 50), min_size=1, max_size=3, unique=True)):
        label = f'Output "{draw(texts)}" (p={draw(st.floats(0, 1)):.3f})'
        top = n_layers + 1
        add(node(f"{top}_{number}_0", "logit", str(top), 0, number, clerp=label), (99, "logit"))
    ids = list(ranks)
    pairs = [(s, t) for s in ids for t in ids if ranks[s] < ranks[t] and ranks[t] % 2 == 1]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=12, unique=True)) if pairs else []
    links = [link(s, t, draw(weights)) | draw(st.just({}) | more) for s, t in chosen]
    members = st.lists(st.sampled_from(ids), min_size=1, max_size=3)
    groups = st.lists(st.tuples(texts, members).map(lambda g: [g[0], *g[1]]), max_size=2)
    params = draw(st.fixed_dictionaries({}, optional={"pinnedIds": members, "supernodes": groups}))
    metadata = {"slug": draw(texts), "scan": draw(texts), "prompt": draw(texts), "schema_version": 1}
    metadata["prompt_tokens"] = draw(st.lists(texts, min_size=n_tokens, max_size=n_tokens))
    return {
        "metadata": draw(st.just({}) | more) | metadata,
        "qParams": draw(st.just({}) | more) | params,
        "nodes": draw(st.permutations(nodes)),
        "links": draw(st.permutations(links)),
    } | draw(st.just({}) | more)
