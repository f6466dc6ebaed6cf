"""circuits: which features of a language model, and which combinations, produce an output.

Load, extract, attribute, ask, show::

    import circuits

    model = circuits.load_model("smollm2")
    neurons = circuits.load_dictionary("neurons", model)
    prompt = circuits.Prompt.of("The capital of France is", model)
    trace = circuits.extract(model, neurons, prompt)
    graph = circuits.attribute(trace, (circuits.Edges(max_features=4000),))
    print(circuits.why(graph))
    circuits.save_run(graph, "run/france")
    circuits.save_report(graph, "france.html")

The names below are loaded when first used: `import circuits` itself loads neither torch nor JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

__version__ = "0.1.0"

if TYPE_CHECKING:
    from circuits.cards.apply import label_features
    from circuits.cards.describe import describe
    from circuits.cards.record import Cards
    from circuits.cards.store import load_cards, save_cards
    from circuits.cards.text import load_text
    from circuits.dictionaries.load import load_dictionary
    from circuits.dictionaries.save import save_dictionary
    from circuits.engine.attribute import Compute, attribute
    from circuits.engine.concepts.backgrounds import Backgrounds
    from circuits.engine.concepts.measure import ConceptTest, concept_test
    from circuits.engine.edges import Edges
    from circuits.engine.games.estimate import interactions
    from circuits.engine.games.method import Coalitions
    from circuits.engine.gates.method import Gates
    from circuits.engine.interact import interact
    from circuits.engine.qk.method import QK
    from circuits.errors import CircuitsError
    from circuits.extraction.estimate import Estimate, estimate
    from circuits.extraction.extract import Extraction, extract
    from circuits.extraction.select import AllActive, ByAttribution, NormShare
    from circuits.graph.actions import Intervention, ablate
    from circuits.graph.concept_graph import concept_graph, ungroup
    from circuits.graph.concepts import Concept
    from circuits.graph.graph import Graph
    from circuits.graph.influence import scores
    from circuits.graph.io import load_run, save_run
    from circuits.graph.predict import predict
    from circuits.graph.prune import prune
    from circuits.graph.run import run
    from circuits.graph.views import to_networkx, to_scipy
    from circuits.interop.exchange import Exported, export_graph, import_graph, validate
    from circuits.intervene.answers import check
    from circuits.intervene.faithfulness import Ablation, faithfulness
    from circuits.intervene.hold import Hold
    from circuits.intervene.session import Session
    from circuits.intervene.steer import steer
    from circuits.intervene.summary import Verification
    from circuits.intervene.verify import Checks, verify
    from circuits.models.load import load_model
    from circuits.planted.plant import plant
    from circuits.plot.agreement import agreement
    from circuits.plot.difference import difference
    from circuits.plot.hypergraph import hypergraph
    from circuits.plot.matrix import interaction_matrix
    from circuits.plot.network import network
    from circuits.plot.orders import interaction_orders
    from circuits.plot.save import save as save_figure
    from circuits.plot.sentence import sentence
    from circuits.plot.strongest_paths import strongest_paths
    from circuits.plot.upset import upset
    from circuits.plot.waterfall import waterfall
    from circuits.prompt import FeatureTarget, Logit, LogitDifference, Prompt, TopLogits
    from circuits.query.answer import Answer
    from circuits.query.ask.builder import ask
    from circuits.query.breaks import breaks
    from circuits.query.contrast import contrast
    from circuits.query.contrast_asked import same_features
    from circuits.query.cuts import cuts
    from circuits.query.grouping.answer import groups
    from circuits.query.grouping.communities import Resampling
    from circuits.query.grouping.group import Grouping, group
    from circuits.query.limit import Limit
    from circuits.query.minimal import minimal
    from circuits.query.motifs import motifs
    from circuits.query.needs import needs
    from circuits.query.paths import paths
    from circuits.query.similar import similar
    from circuits.query.sql.ask import sql
    from circuits.query.sql.budget import Budget
    from circuits.query.sql.rows import Rows
    from circuits.query.unexplained import unexplained
    from circuits.query.why import why
    from circuits.report import save_report
    from circuits.trace import Trace
    from circuits.trace_io import load_trace, save_trace
    from circuits.training.evaluate import Evaluation, evaluate
    from circuits.training.tokens import load_sequences

__all__ = [
    "QK",
    "Ablation",
    "AllActive",
    "Answer",
    "Backgrounds",
    "Budget",
    "ByAttribution",
    "Cards",
    "Checks",
    "CircuitsError",
    "Coalitions",
    "Compute",
    "Concept",
    "ConceptTest",
    "Edges",
    "Estimate",
    "Evaluation",
    "Exported",
    "Extraction",
    "FeatureTarget",
    "Gates",
    "Graph",
    "Grouping",
    "Hold",
    "Intervention",
    "Limit",
    "Logit",
    "LogitDifference",
    "NormShare",
    "Prompt",
    "Resampling",
    "Rows",
    "Session",
    "TopLogits",
    "Trace",
    "Verification",
    "__version__",
    "ablate",
    "agreement",
    "ask",
    "attribute",
    "breaks",
    "check",
    "concept_graph",
    "concept_test",
    "contrast",
    "cuts",
    "describe",
    "difference",
    "estimate",
    "evaluate",
    "export_graph",
    "extract",
    "faithfulness",
    "group",
    "groups",
    "hypergraph",
    "import_graph",
    "interact",
    "interaction_matrix",
    "interaction_orders",
    "interactions",
    "label_features",
    "load_cards",
    "load_dictionary",
    "load_model",
    "load_run",
    "load_sequences",
    "load_text",
    "load_trace",
    "minimal",
    "motifs",
    "needs",
    "network",
    "paths",
    "plant",
    "predict",
    "prune",
    "run",
    "same_features",
    "save_cards",
    "save_dictionary",
    "save_figure",
    "save_report",
    "save_run",
    "save_trace",
    "scores",
    "sentence",
    "similar",
    "sql",
    "steer",
    "strongest_paths",
    "to_networkx",
    "to_scipy",
    "unexplained",
    "ungroup",
    "upset",
    "validate",
    "verify",
    "waterfall",
    "why",
]

_HOMES: Final = {
    "Ablation": "intervene.faithfulness.Ablation",
    "AllActive": "extraction.select.AllActive",
    "Answer": "query.answer.Answer",
    "Backgrounds": "engine.concepts.backgrounds.Backgrounds",
    "Budget": "query.sql.budget.Budget",
    "ByAttribution": "extraction.select.ByAttribution",
    "Cards": "cards.record.Cards",
    "Checks": "intervene.verify.Checks",
    "CircuitsError": "errors.CircuitsError",
    "Coalitions": "engine.games.method.Coalitions",
    "Compute": "engine.attribute.Compute",
    "Concept": "graph.concepts.Concept",
    "ConceptTest": "engine.concepts.measure.ConceptTest",
    "Edges": "engine.edges.Edges",
    "Estimate": "extraction.estimate.Estimate",
    "Evaluation": "training.evaluate.Evaluation",
    "Exported": "interop.exchange.Exported",
    "Extraction": "extraction.extract.Extraction",
    "FeatureTarget": "prompt.FeatureTarget",
    "Gates": "engine.gates.method.Gates",
    "Graph": "graph.graph.Graph",
    "Grouping": "query.grouping.group.Grouping",
    "Hold": "intervene.hold.Hold",
    "Intervention": "graph.actions.Intervention",
    "Limit": "query.limit.Limit",
    "Logit": "prompt.Logit",
    "LogitDifference": "prompt.LogitDifference",
    "NormShare": "extraction.select.NormShare",
    "Prompt": "prompt.Prompt",
    "QK": "engine.qk.method.QK",
    "Resampling": "query.grouping.communities.Resampling",
    "Rows": "query.sql.rows.Rows",
    "Session": "intervene.session.Session",
    "TopLogits": "prompt.TopLogits",
    "Trace": "trace.Trace",
    "Verification": "intervene.summary.Verification",
    "ablate": "graph.actions.ablate",
    "agreement": "plot.agreement.agreement",
    "ask": "query.ask.builder.ask",
    "attribute": "engine.attribute.attribute",
    "breaks": "query.breaks.breaks",
    "check": "intervene.answers.check",
    "concept_graph": "graph.concept_graph.concept_graph",
    "concept_test": "engine.concepts.measure.concept_test",
    "contrast": "query.contrast.contrast",
    "cuts": "query.cuts.cuts",
    "describe": "cards.describe.describe",
    "difference": "plot.difference.difference",
    "estimate": "extraction.estimate.estimate",
    "evaluate": "training.evaluate.evaluate",
    "export_graph": "interop.exchange.export_graph",
    "extract": "extraction.extract.extract",
    "faithfulness": "intervene.faithfulness.faithfulness",
    "group": "query.grouping.group.group",
    "groups": "query.grouping.answer.groups",
    "hypergraph": "plot.hypergraph.hypergraph",
    "import_graph": "interop.exchange.import_graph",
    "interact": "engine.interact.interact",
    "interaction_matrix": "plot.matrix.interaction_matrix",
    "interaction_orders": "plot.orders.interaction_orders",
    "interactions": "engine.games.estimate.interactions",
    "label_features": "cards.apply.label_features",
    "load_cards": "cards.store.load_cards",
    "load_dictionary": "dictionaries.load.load_dictionary",
    "load_model": "models.load.load_model",
    "load_run": "graph.io.load_run",
    "load_sequences": "training.tokens.load_sequences",
    "load_text": "cards.text.load_text",
    "load_trace": "trace_io.load_trace",
    "minimal": "query.minimal.minimal",
    "motifs": "query.motifs.motifs",
    "needs": "query.needs.needs",
    "network": "plot.network.network",
    "paths": "query.paths.paths",
    "plant": "planted.plant.plant",
    "predict": "graph.predict.predict",
    "prune": "graph.prune.prune",
    "run": "graph.run.run",
    "same_features": "query.contrast_asked.same_features",
    "save_cards": "cards.store.save_cards",
    "save_dictionary": "dictionaries.save.save_dictionary",
    "save_figure": "plot.save.save",
    "save_report": "report.save_report",
    "save_run": "graph.io.save_run",
    "save_trace": "trace_io.save_trace",
    "scores": "graph.influence.scores",
    "sentence": "plot.sentence.sentence",
    "similar": "query.similar.similar",
    "sql": "query.sql.ask.sql",
    "steer": "intervene.steer.steer",
    "strongest_paths": "plot.strongest_paths.strongest_paths",
    "to_networkx": "graph.views.to_networkx",
    "to_scipy": "graph.views.to_scipy",
    "unexplained": "query.unexplained.unexplained",
    "ungroup": "graph.concept_graph.ungroup",
    "upset": "plot.upset.upset",
    "validate": "interop.exchange.validate",
    "verify": "intervene.verify.verify",
    "waterfall": "plot.waterfall.waterfall",
    "why": "query.why.why",
}
"""Where each public name lives, below this package."""


def __getattr__(name: str) -> Any:
    """Gives a public name, loading its room first."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room, _, original = _HOMES[name].rpartition(".")
    value = getattr(importlib.import_module(f"{__name__}.{room}"), original)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
