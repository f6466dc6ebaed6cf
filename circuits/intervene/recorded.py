"""The untouched pass, and what is computed from it once: everything that interventions move away from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.base import Encoding
from circuits.extraction.fold import Frozen
from circuits.extraction.passing import Passing, passing
from circuits.models.base import LayerParts
from circuits.models.forward import apply_norm, mix, run_mlp, values
from circuits.models.scores import Heads, check_scores, patterns, scores


@dataclass(frozen=True)
class Attended:
    """One layer's attention on the untouched prompt.

    Attributes:
        query: queries, with the scales of their norm.
        key: keys, likewise.
        value: values, K n R.
        pattern: the pattern rebuilt from queries and keys, which is the module's to rounding.
    """

    query: Heads
    key: Heads
    value: Float[Tensor, "K n R"]
    pattern: Float[Tensor, "H n n"]


@dataclass(frozen=True, eq=False)
class Recorded:
    """A model, a dictionary and one pass on one prompt; layers' parts are computed when first asked for."""

    frozen: Frozen
    _attended: dict[int, Attended] = field(default_factory=dict)
    _inputs: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    _passing: dict[int, Passing] = field(default_factory=dict)
    _encodings: dict[int, Encoding] = field(default_factory=dict)

    def parts(self, layer: int) -> LayerParts:
        """Gives the parts of a block."""
        return self.frozen.model.anatomy.layers[layer]

    def attended(self, layer: int) -> Attended:
        """Gives queries, keys, values and the rebuilt pattern of a layer.

        Raises:
            UnsupportedModel: the rebuilt pattern is not the module's own.
        """
        if layer not in self._attended:
            run, parts = self.frozen.forward, self.parts(layer).attention
            query, key = check_scores(self.frozen.model, run, layer)
            score = scores(parts.scores, query.turned, key.turned)
            pattern = patterns(parts.scores, score, run.pattern[layer] != 0)
            value = values(parts, self.attention_input(layer))
            self._attended[layer] = Attended(query, key, value, pattern)
        return self._attended[layer]

    def attention_input(self, layer: int) -> Float[Tensor, "n d"]:
        """Gives what attention receives, norm applied."""
        run, norm = self.frozen.forward, self.parts(layer).attention_norm
        return self._once(
            "attention", layer, lambda: apply_norm(norm, run.attention_in[layer], run.attention_scale[layer])
        )

    def attention_output(self, layer: int) -> Float[Tensor, "n d"]:
        """Gives attention's own output, before a post-norm."""
        parts, run = self.parts(layer).attention, self.frozen.forward

        def made() -> Tensor:
            y = mix(parts, run.pattern[layer], values(parts, self.attention_input(layer)))
            return y if parts.output_bias is None else y + parts.output_bias

        return self._once("attention output", layer, made)

    def mlp_input(self, layer: int) -> Float[Tensor, "n d"]:
        """Gives what the MLP receives, norm applied."""
        run, norm = self.frozen.forward, self.parts(layer).mlp_norm
        return self._once("mlp", layer, lambda: apply_norm(norm, run.mlp_in[layer], run.mlp_scale[layer]))

    def mlp_output(self, layer: int) -> Float[Tensor, "n d"]:
        """Gives the MLP's own output, before a post-norm."""
        return self._once("mlp output", layer, lambda: run_mlp(self.parts(layer).mlp, self.mlp_input(layer)))

    def features_input(self, layer: int) -> Float[Tensor, "n d"]:
        """Gives what the features of a layer read."""
        return self._once("features", layer, lambda: self.frozen.inputs(layer))

    def passing(self, layer: int) -> Passing:
        """Gives the MLP held still."""
        if layer not in self._passing:
            self._passing[layer] = passing(self.frozen.model, layer, self.mlp_input(layer))
        return self._passing[layer]

    def encoding(self, layer: int) -> Encoding:
        """Gives all features of a layer on the untouched prompt; goes through its whole encoder, once."""
        if layer not in self._encodings:
            x = self.features_input(layer)
            self._encodings[layer] = self.frozen.dictionary.encode(layer, x)
        return self._encodings[layer]

    def _once(self, what: str, layer: int, make: Callable[[], Tensor]) -> Tensor:
        key = (what, layer)
        if key not in self._inputs:
            self._inputs[key] = make()
        return self._inputs[key]
