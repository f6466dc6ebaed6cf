"""A model, its dictionary and one prompt of a run, ready to be intervened on.

No trace is needed: everything is computed anew from the model, the dictionary and the prompt's tokens,
and compared with what the run recorded. Neither the engine nor the graph's edges have a part in it, so
that what is measured here tests what the graph says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from circuits.dictionaries.base import AbstractDictionary
from circuits.errors import UsageError
from circuits.extraction.fold import Frozen
from circuits.graph.actions import Intervention
from circuits.graph.graph import Graph
from circuits.intervene.anywhere import on_text
from circuits.intervene.check import Target, check_same, checked_tables, prompt_of, targets_of
from circuits.intervene.generate import Written, generate
from circuits.intervene.hold import FREE, Hold
from circuits.intervene.now import Gate, gate_of
from circuits.intervene.outcome import Outcome
from circuits.intervene.passes import Asked, Pass
from circuits.intervene.places import Acts, Feature, Limits, placed
from circuits.intervene.recorded import Recorded
from circuits.intervene.tables import Table, table
from circuits.intervene.unexplained import Kept
from circuits.models.base import Model
from circuits.models.forward import capped, forward
from circuits.prompt import Prompt

Progress = Callable[[str, int, int], None]

ACTIVATION_BYTES: Final = 2**28
"""About so much the activations of one batch take at most, unless a batch is asked for."""

AT_ONCE: Final = 32
"""More interventions at once gain little, and the more there are the earlier their first one begins."""


@dataclass(frozen=True, eq=False)
class Session:
    """Made by `Session.of`; `run` measures interventions.

    Attributes:
        model: the model.
        dictionary: the features.
        graph: the run; its feature nodes, dormant ones too, are the features that respond while MLPs
            are held, but for those it never expanded (`max_features`): it has them as constants.
        prompt: its tokens.
        recorded: the untouched pass.
        tables: its features, by layer.
        targets: its targets, in its order.
        forced: the model or the dictionary is not the run's.
    """

    model: Model
    dictionary: AbstractDictionary
    graph: Graph
    prompt: Prompt
    recorded: Recorded
    tables: dict[int, Table]
    targets: tuple[Target, ...]
    forced: bool = False
    _gates: dict[int, Gate] = field(default_factory=dict)
    _errors: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    @torch.no_grad()
    def of(
        cls, model: Model, dictionary: AbstractDictionary, graph: Graph, *, forced: bool = False
    ) -> Session:
        """Gives the session of a run: one untouched pass, the run's features, its targets.

        Args:
            model: the model the run was made from.
            dictionary: its dictionary.
            graph: the run.
            forced: go on though model or dictionary are not the run's; `Session.forced` tells of it.

        Raises:
            Incompatible: the graph does not say its prompt's tokens or its targets; or model or dictionary
                are not those of the run, by fingerprint or by the activations they give.

        Example:
            >>> session = Session.of(model, dictionary, graph)  # doctest: +SKIP
            >>> session.run([ablate(["12/4051@7"])], FROZEN).effects  # doctest: +SKIP
        """
        prompt = prompt_of(graph)
        differs = check_same(model, dictionary, graph, forced=forced)
        dictionary.check(model)
        recorded = Recorded(Frozen(model, dictionary, forward(model, prompt.ids)))
        targets = targets_of(graph, recorded)
        tables = checked_tables(recorded, graph, trusted=not differs)
        return cls(model, dictionary, graph, prompt, recorded, tables, targets, differs)

    @property
    def logits_before(self) -> Float[np.ndarray, "v"]:
        """Gives the next-token logits with nothing done, softcap included."""
        return capped(self.model.anatomy, self.recorded.frozen.forward.logits[-1]).numpy()

    @torch.no_grad()
    def run(
        self,
        interventions: Sequence[Intervention],
        hold: Hold = FREE,
        *,
        batch: int | None = None,
        progress: Progress | None = None,
    ) -> Outcome:
        """Gives what each intervention does to the targets and the next token.

        Features at any position are acted on by name, in the graph or not; ``12/4051`` means every
        position. Embeddings (``tok@3``) and errors (``err12@7``) have activation 1, so that set, scale
        and add all give a factor. While MLPs are not held, a feature's activation is what the dictionary
        gives for the stream as it then is, and the model's own MLPs run (see `circuits.intervene.now`).

        Interventions are sorted by where they begin and run in batches: nothing before the first
        position and layer of a batch is computed.

        Args:
            interventions: what is done, one row of the outcome each.
            hold: what is held still.
            batch: interventions at once; `AT_ONCE` unless given, fewer where they take `ACTIVATION_BYTES`.
            progress: told of each batch.

        Raises:
            NotFound: a name means nothing in this model, dictionary and prompt.
            UsageError: a bias, `rest` or an output is named; a batch below 1.
        """
        if batch is not None and batch < 1:
            raise UsageError(f"A batch of {batch} interventions is empty: give 1 or more.")
        n = len(self.prompt.ids)
        limits = Limits.of(self.model, self.dictionary, n, self.graph.nodes["node"].to_list())
        acts = [placed(one, limits).at(range(n)) for one in interventions]
        before = self.recorded.frozen.forward.logits[-1]
        moved = before.new_zeros(len(acts), len(before))
        values = np.tile(np.array([t.value for t in self.targets]), (len(acts), 1))
        order = sorted((i for i, one in enumerate(acts) if not one.nothing), key=lambda i: acts[i].start)
        size, done, flops = batch or self._batch(hold), 0, 0.0
        while done < len(order):
            part = order[done : done + size]
            with FlopCounterMode(display=False) as counter:
                logits, seen = self._pass([acts[i] for i in part], hold)
            flops += counter.get_total_flops()
            moved[part] = logits
            values[part] += self._targets_moved(logits, seen)
            done += len(part)
            if progress is not None:
                progress("interventions", done, len(order))
        after = capped(self.model.anatomy, before + moved)
        return Outcome(
            interventions=tuple(interventions),
            hold=hold,
            targets=tuple(t.name for t in self.targets),
            before=np.array([t.value for t in self.targets]),
            values=values,
            logits_before=self.logits_before,
            logits=after.numpy(),
            flops=flops,
            decode=self.model.decode,
        )

    def generate(
        self, intervention: Intervention, n_tokens: int = 20, *, progress: Progress | None = None
    ) -> Written:
        """Gives what the free model writes after the prompt: see `circuits.intervene.generate`."""
        return generate(self.model, self.dictionary, self.prompt.ids, intervention, n_tokens, progress)

    def elsewhere(
        self, text: str | Sequence[int], intervention: Intervention
    ) -> tuple[Float[np.ndarray, "n v"], Float[np.ndarray, "n v"]]:
        """Gives next-token logits at every position of another text: see `circuits.intervene.anywhere`."""
        ids = self.model.encode(text) if isinstance(text, str) else text
        return on_text(self.model, self.dictionary, ids, intervention)

    def _pass(
        self, acts: Sequence[Acts], hold: Hold
    ) -> tuple[Float[Tensor, "B v"], dict[Feature, Float[Tensor, "B"]]]:
        """Gives how logits and watched features change under some interventions."""
        watched = [t.feature for t in self.targets if t.feature is not None]
        layers = {f.layer for one in acts for f in one.features} | {f.layer for f in watched}
        free = {layer for layer in layers if not hold.at(layer).mlps}
        for layer in free - set(self._gates):
            self._gates[layer] = gate_of(self.dictionary, layer, self.recorded.features_input(layer))
        for layer in {layer for one in acts for layer, _ in one.error} - set(self._errors):
            self._errors[layer] = self._kept.error(layer)
        extra = {layer: self._extra(layer, acts) for layer in layers - free}
        asked = Asked(
            hold=hold,
            tables=self.tables,
            extra={layer: made for layer, made in extra.items() if made is not None},
            gates=self._gates,
            errors=self._errors,
            watched=watched,
        )
        start = min(one.start[0] for one in acts), min(one.start[1] for one in acts)
        run = Pass(self.recorded, asked, acts, start)
        return run.logits(), run.seen

    def _extra(self, layer: int, acts: Sequence[Acts]) -> Table | None:
        """Gives the features of a layer that are acted on and not among the run's."""
        known = self.tables[layer].index if layer in self.tables else {}
        named = {f for one in acts for f in one.features if f.layer == layer and f not in known}
        return table(self.recorded, layer, list(named)) if named else None

    def _targets_moved(
        self, logits: Float[Tensor, "B v"], seen: dict[Feature, Float[Tensor, "B"]]
    ) -> Float[np.ndarray, "B T"]:
        """Gives how the targets change: logits less their mean over the vocabulary, or pre-activations."""
        wide = logits.double()
        mean, still = wide.mean(dim=1), torch.zeros(len(logits), dtype=torch.float64)
        columns: list[Tensor] = []
        for target in self.targets:
            match target.ids:
                case ():
                    assert target.feature is not None
                    columns.append(seen.get(target.feature, still).double())
                case (one,):
                    columns.append(wide[:, one] - mean)
                case (one, other):
                    columns.append(wide[:, one] - wide[:, other])
        return torch.stack(columns, dim=1).numpy() if columns else np.zeros((len(logits), 0))

    @cached_property
    def _kept(self) -> Kept:
        return Kept.of(self.recorded, self.graph, self.prompt)

    def _batch(self, hold: Hold) -> int:
        """Gives how many interventions to run at once: `AT_ONCE`, fewer where memory is short."""
        anatomy, n = self.model.anatomy, len(self.prompt.ids)
        layer = anatomy.layers[0]
        inner = 0 if hold.mlps and hold.until is None and not self.recorded.frozen.on_stream else 3
        H, _, R = layer.attention.output.shape
        heads = 4 * H * (n + R)
        numbers = n * (12 * self.model.width + inner * len(layer.mlp.up) + heads)
        numbers += 3 * len(anatomy.unembedding)
        numbers += 8 * max((len(t.position) for t in self.tables.values()), default=0)
        return min(
            AT_ONCE, max(1, ACTIVATION_BYTES // (numbers * self.recorded.frozen.forward.final.element_size()))
        )

    def __repr__(self) -> str:
        count = sum(len(t.position) for t in self.tables.values())
        of = f"{count} features of {self.dictionary.spec}"
        return f"Session({self.model.name}, {len(self.prompt.ids)} tokens, {of})"
