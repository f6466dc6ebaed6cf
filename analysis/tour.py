"""A tour from a prompt to why, as a notebook: `marimo edit analysis/tour.py`, or `python analysis/tour.py`.

It runs in under a minute on two cores, downloads nothing, and is one of the tests.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator,misc"
# ruff: noqa: B018

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Why Austin? A tour of circuits")


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    # Why *Austin*?

    A small language model reads **The capital of the state containing Dallas is** and says **Austin**. That
    takes two steps: Dallas lies in Texas, and the capital of Texas is Austin. Does the model take them? This
    page follows the answer back through the model's features, asks which of them act *together*, compares it
    with a second prompt, and then tries what was found on the model itself.

    Everything here comes with the package: a four-layer model trained on made-up geography, and transcoders
    that turn its MLPs into features with tested labels.
    """)
    return


@app.cell
def _():
    import marimo as mo

    import circuits
    from circuits.cards.store import find_cards

    return circuits, find_cards, mo


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## From a prompt to a graph

    `extract` runs the model once and freezes what is not about features: attention patterns and
    normalisation. What is left between features is linear, so `attribute` can say exactly how much each
    contributes to each: an *edge* is what the target would lose if its source were switched off, all else
    frozen.
    """)
    return


@app.cell
def _(circuits, find_cards):
    model = circuits.load_model("toy")
    dictionary = circuits.load_dictionary("toy", model)
    cards = find_cards(dictionary.spec, dictionary.fingerprint)  # what the features stand for

    def graph_of(text):
        """Gives the attribution graph of a prompt."""
        prompt = circuits.Prompt.of(text, model)
        trace = circuits.label_features(circuits.extract(model, dictionary, prompt), cards)
        return circuits.attribute(trace)

    graph = graph_of("The capital of the state containing Dallas is")
    graph
    return dictionary, graph, graph_of, model


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    The picture has the prompt's tokens from left to right and the layers upwards. Circles are features: the
    larger, the more of the answer runs through them. Solid blue edges push the answer up, dashed orange ones
    down. Two things stand out: features at *Dallas* about cities and states, and features at *is* that say
    capitals.

    ## Why?

    The same in words. Every sentence can be checked against a table below it; the last one says how far to
    trust the rest.
    """)
    return


@app.cell
def _(circuits, graph):
    answer = circuits.why(graph)
    answer
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Which words?

    Followed all the way down, the answer is a sum over the words of the prompt, plus what the dictionary
    leaves unexplained. *Dallas* and *capital* bring most of it. The line for the concept *place* is the part
    that runs through the features at *Dallas*: nearly all that *Dallas* brings, as it should be.
    """)
    return


@app.cell
def _(circuits, graph):
    circuits.sentence(graph, concepts=["place=pos:7 & layer:0-3"])
    return


@app.cell
def _(circuits, graph):
    circuits.strongest_paths(graph, most=6)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## What acts only together?

    Edges add up, but gates do not: a feature that needs two inputs is worth nothing with one. `interact`
    plays a game in which the sixteen most influential features are switched on and off in all combinations,
    and reports what a pair does *beyond* what its members do alone.
    """)
    return


@app.cell
def _(circuits, graph):
    together = circuits.interact(graph, [circuits.Coalitions(order=2)])
    circuits.hypergraph(together, most=8)
    return (together,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    A diamond with & is an *and*: its members push the answer up more together than apart. The question that
    matters can also be put directly. Do the city and the word *capital* act as an *and*, whatever else is in
    the prompt?
    """)
    return


@app.cell
def _(circuits, graph, mo):
    test = circuits.concept_test(graph, "city=token:Dallas", 'ask=token:" capital"')
    mo.md("\n>\n".join(f"> {line.strip()}" for line in str(test).splitlines()[:2]))
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## What if it were Seattle?

    A second prompt, the same but for the city. What both have in common cannot be the reason for the
    difference; what only one has can. Features only at Dallas are blue, those only at Seattle orange.
    """)
    return


@app.cell
def _(circuits, graph, graph_of):
    other = graph_of("The capital of the state containing Seattle is")
    contrast = circuits.contrast(graph, other)
    circuits.difference(contrast.highlight, nodes=16)
    return (contrast,)


@app.cell
def _(contrast, mo):
    mo.md("\n>\n".join(f"> {sentence}" for sentence in contrast.finding[:3]))
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Is it true?

    All of this was read from a graph. `verify` takes what the graph predicts and does it to the model:
    switches features off and measures the answer. Grey points were measured with all else frozen, as the
    graph assumes; there it must be right, and is. Blue points were measured with nothing held. There the
    rest of the model responds, often making up for what was taken away, and the graph is a guide and not a
    law: hollow orange points are where it misled, the *and* of Dallas and *capital* among them.
    """)
    return


@app.cell
def _(circuits, dictionary, graph, model):
    verification = circuits.verify(graph, model, dictionary)
    circuits.agreement(verification.graph)
    return (verification,)


@app.cell
def _(mo, verification):
    mo.md("\n>\n".join(f"> {sentence}" for sentence in verification.answer().finding[:3]))
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Look around

    In a live notebook the graph can be explored: search, pin, group, follow paths, open a feature's card.
    What is done there can be read here, and what is set here is shown there:

    ```python
    viewer.selected = "1/926@8"   # opens the card of a feature that says capitals
    viewer.pinned                 # what was pinned by hand
    viewer.groups                 # groups made by hand, as concepts for circuits.concept_test
    ```
    """)
    return


@app.cell
def _(together):
    viewer = together.widget()
    viewer
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Where next

    - `circuits report RUN -o why.html` makes one file of all this, for somebody without Python.
    - `circuits.ask(graph, "paths from Dallas to Austin")` and its grammar: `circuits ask --help`.
    - Your own model: `circuits.load_model("smollm2")`, a directory, or a hub id; the MLP's neurons are a
      dictionary that needs no training.
    """)
    return


if __name__ == "__main__":
    app.run()
