"""A contrast in sentences: what differs, what makes it differ, how far to trust that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from circuits.query.contrast_asked import keeps_all
from circuits.query.contrast_pair import BOTH, HOW, NOT_KEPT, ONLY_HERE, ONLY_THERE
from circuits.query.contrast_sure import combinations, predicted, settings, trust
from circuits.query.contrast_tables import NO_WORD, PARTS, ROUNDING, edge_counts
from circuits.query.contrast_told import Told
from circuits.query.pushes import pushes_sentences
from circuits.query.subject import Subject
from circuits.query.text import listing, percent, plain, probable, quoted

TOLD: Final = 3
"""Features or words told in a sentence, at most."""

MANY: Final = 0.2
"""Share of the difference from which errors are told of at once."""

SMALL: Final = 0.02
"""Share of the difference below which a word is not told of."""


def sentences(told: Told) -> tuple[str, ...]:
    """Gives the finding: every number in it stands in one of the tables."""
    if told.asked.same_graph:
        pushes = told.tables.get("pushes")
        said = () if pushes is None else pushes_sentences(pushes, told.asked.words)
        found = [_two_outputs(told), *said, *combinations(told)]
    else:
        lead = _same_output(told) if told.asked.comparable else _two_answers(told)
        found = [
            lead,
            *_switched(told),
            _prompts(told),
            _words(told),
            *_features(told),
            _edges(told),
            *combinations(told),
        ]
        found += [predicted(told), settings(told)]
    return tuple(sentence for sentence in [*found, trust(told)] if sentence)


def nothing(told: Told) -> tuple[str, ...]:
    """Gives the finding where the two graphs agree in everything."""
    pair = told.pair
    nodes, edges = (f"{len(part):,}" for part in (pair.one.graph.nodes, pair.one.graph.edges))
    value = f"{told.asked.words[0]} has the value {plain(pair.values[0])} in both"
    said = f"There is no difference: {value}, and all {nodes} nodes and {edges} edges bring the same to it."
    more = "To compare two outputs of one run, name both: a target and another target."
    return (said, more) if told.asked.same_graph else (said,)


def _same_output(told: Told) -> str:
    pair, asked = told.pair, told.asked
    name, pairwise = asked.words[0], " over " in asked.words[0]
    levels = [told.level(value) for value in pair.values]
    what = f"The logit of {name}" if pair.one.subject.kind == "logit" and not pairwise else _upper(name)
    lead = f"{what} is {levels[0]} {asked.sides[0]} and {levels[1]} {asked.sides[1]}"
    makes = sorted(_makes(told)[:2], key=lambda row: -abs(row["change"]))
    if not makes:
        return f"{lead}; no feature makes the difference of {told.signed(pair.difference)}."
    through = ", then ".join(_one(told, row) for row in makes)
    errors = told.beginning("error")
    beside = ""
    if errors is not None and errors >= MANY:
        beside = f"; {percent(errors)} of it begins at dictionary errors, which no feature explains"
    difference = told.signed(pair.difference)
    return f"{lead}; the difference of {difference} runs first of all through {through}{beside}."


def _makes(told: Told) -> list[dict[str, Any]]:
    """Gives features that make the difference; those merely not kept only if no other does."""
    rows = [row for row in told.tables["features"].to_dicts() if row["change"] * told.pair.difference > 0]
    own = [row for row in rows if abs(row["by_activation"]) > ROUNDING * told.pair.scale] or rows
    return [row for row in own if NOT_KEPT not in row["activation"]] or own


def _switched(told: Told) -> list[str]:
    """Gives what makes the first of the features that differ another: their inputs that differ."""
    if not told.asked.comparable:
        return []
    parts = []
    for row in sorted(_makes(told)[:2], key=lambda row: -abs(row["change"])):
        side = 1 if row["presence"] == ONLY_THERE else 0
        read = [
            f"{told.named(link['node'], side)} ({told.signed(link['weight'])})" for link in row["inputs"][:2]
        ]
        parts += [f"that of {row['node']} by {listing(read)}"] if read else []
    return [f"Their own inputs differ, {'; '.join(parts)}."] if parts else []


def _two_answers(told: Told) -> str:
    pair, asked = told.pair, told.asked
    both, here, there = (told.part(PARTS[how]) for how in HOW)
    chances = [_chance(t.subject) for t in (pair.one, pair.two)]
    has = "turns on" if all(map(keeps_all, pair.graphs())) else "keeps"
    return (
        f"{_upper(asked.sides[0])} the answer is {asked.words[0]}{chances[0]}, {asked.sides[1]}"
        f" {asked.words[1]}{chances[1]}: features that only the one prompt {has} bring"
        f" {told.signed(here['here'])} of the logit of {plain(pair.values[0])} to {asked.words[0]} and"
        f" {told.signed(there['there'])} of {plain(pair.values[1])} to {asked.words[1]}; features of both"
        f" bring {told.signed(both['here'])} and {told.signed(both['there'])}."
    )


def _two_outputs(told: Told) -> str:
    pair, asked = told.pair, told.asked
    better = 0 if pair.difference >= 0 else 1
    win, lose = asked.words[better], asked.words[1 - better]
    lead = f"{_upper(win)} is {plain(abs(pair.difference))} above {lose}"
    rows = _makes(told)[:2]
    if not rows:
        return f"{lead}; no feature makes the difference."
    listed = " and ".join(f"{told.named(row['node'])} ({told.amount(row['change'])})" for row in rows)
    return f"{lead}: what favours it most, over all paths, is {listed}."


def _prompts(told: Told) -> str:
    """Gives which words differ, and which stand for none."""
    alignment = told.pair.alignment
    swapped = [f"{quoted(alignment.here[p])} for {quoted(alignment.there[q])}" for p, q in alignment.changed]
    lone = [
        f"{listing(quoted(tokens[p]) for p in places)} of the {which}"
        for which, tokens, places in (
            ("first", alignment.here, alignment.only_here),
            ("second", alignment.there, alignment.only_there),
        )
        if places
    ]
    if not swapped and not lone:
        return "The prompts are the same." if any(alignment.here) else ""
    parts = [f"The prompts differ in {listing(swapped)}"] if swapped else []
    if lone:
        parts.append(f"{'nothing' if swapped else 'Nothing'} stands opposite {listing(lone)}")
    hint = ""
    if lone and alignment.how in ("start", "end"):
        hint = f" (aligned from the {alignment.how}; --align text pairs equal words)"
    return f"{'; '.join(parts)}{hint}."


def _words(told: Told) -> str:
    """Gives how much of the difference begins at the words that differ, and at the others."""
    if not told.asked.comparable:
        return ""
    count = sum(kind == "token" for kind in told.pair.kind)
    rows = told.tables["words"].head(count).to_dicts()
    swapped = [row for row in rows if row["word_there"] or row["word"] == NO_WORD]
    stayed = sorted((row for row in rows if row not in swapped), key=lambda row: -abs(row["change"]))
    least = SMALL * abs(told.pair.difference)
    same = [f"{r['word']} ({told.amount(r['change'])})" for r in stayed[:2] if abs(r["change"]) > least]
    swapped = sorted(swapped, key=lambda row: -abs(row["change"]))[:TOLD]
    listed = [
        f"{_word(r['word'])} in place of {_word(r['word_there'])} ({told.amount(r['change'])})"
        for r in swapped
    ]
    if not listed and not same:
        return ""
    begins = "Followed back along all paths, the difference begins at"
    if not listed:
        return f"{begins} {listing(same)}."
    others = f"; of the words that stayed, most at {listing(same)}" if same else ""
    return f"{begins} {listing(listed)}{others}."


def _features(told: Told) -> list[str]:
    """Gives how many features are only in one, and what the strongest do."""
    pair, asked = told.pair, told.asked
    feature, how = np.array([kind == "feature" for kind in pair.kind]), np.array(pair.how)
    on = feature & (pair.on[0] | pair.on[1])
    count = {name: int((on & (how == name)).sum()) for name in HOW}
    keep = [keeps_all(graph) for graph in pair.graphs()]
    what = "on" if all(keep) else "kept"
    verb = "feature is" if count[BOTH] == 1 else "features are"
    counted = (
        f"{count[BOTH]:,} {verb} {what} in both, {count[ONLY_HERE]:,} only {asked.sides[0]} and"
        f" {count[ONLY_THERE]:,} only {asked.sides[1]}"
    )
    if asked.comparable and (count[ONLY_HERE] or count[ONLY_THERE]):
        lone = sum(told.part(PARTS[name])["change"] for name in (ONLY_HERE, ONLY_THERE))
        counted += f"; the direct effects of these latter make {told.share(lone)}"
    found = [f"{counted}."]
    if not all(keep):
        found.append(
            "Not every active feature was kept: one that is in one graph only may be on in the other too, so"
            " take it for a lead, not for a finding."
        )
    return [*found, *(_against(told) if asked.comparable else _supports(told))]


def _against(told: Told) -> list[str]:
    rows = told.tables["features"].to_dicts()
    against = [row for row in rows if row["change"] * told.pair.difference < 0][:1]
    return [f"What works most against the difference is {_one(told, row)}." for row in against]


def _supports(told: Told) -> list[str]:
    """Gives what supports either answer, and what supports both, over all paths."""
    pair, asked, split = told.pair, told.asked, told.pair.total
    how, feature = np.array(pair.how), np.array([kind == "feature" for kind in pair.kind])
    feature[pair.one.subject.row] = False
    found = []
    for name, size, lead in (
        (ONLY_HERE, split.here, f"Only {asked.sides[0]}, and most for {asked.words[0]}"),
        (ONLY_THERE, split.there, f"Only {asked.sides[1]}, and most for {asked.words[1]}"),
        (BOTH, np.minimum(split.here, split.there), "In both, and most for both answers"),
    ):
        mine = np.flatnonzero(feature & (how == name) & (size > 0))
        best = mine[np.argsort(-size[mine], kind="stable")][:TOLD]
        sizes = [_sizes(told, int(place), name) for place in best]
        listed = [f"{pair.phrase(int(p))} ({said})" for p, said in zip(best, sizes, strict=True)]
        if listed:
            found.append(f"{lead}, over all paths, there is {listing(listed)}.")
    return found


def _sizes(told: Told, place: int, how: str) -> str:
    values = [told.signed(float(part[place])) for part in (told.pair.total.here, told.pair.total.there)]
    return {ONLY_HERE: values[0], ONLY_THERE: values[1]}.get(how, " and ".join(values))


def _edges(told: Told) -> str:
    table = told.tables["edges"]
    if not told.asked.comparable or not len(table):
        return ""
    row = table.row(0, named=True)
    weights = [told.signed(row[name]) for name in ("weight_here", "weight_there")]
    both, here, there = edge_counts(told.pair)
    return (
        f"{both:,} edges lead to it in both, {here:,} only {told.asked.sides[0]} and {there:,} only"
        f" {told.asked.sides[1]}; the one that changes it most is {row['edge']}: its weight is"
        f" {weights[0]} against {weights[1]}, and it carries {told.share(row['change'])}."
    )


def _one(told: Told, row: Mapping[str, Any]) -> str:
    levels = row["activation"].replace(" vs ", " against ")
    return f"{told.named(row['node'])} (activation {levels}: {told.amount(row['change'])})"


def _chance(subject: Subject) -> str:
    chance = subject.naming.probability(subject.node)
    return "" if chance is None else f" (p = {probable(chance)})"


def _word(word: str) -> str:
    return "nothing" if word == NO_WORD else word


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
