"""The transposed linear map of one prompt: from what targets read down to what sources write (JAX).

With attention patterns and normalisation scales frozen, the residual stream is a linear function of
everything written into it (Ameisen et al. 2025, local replacement model). A target reads it with a
vector; that vector is carried *down*, layer by layer, and contracted with what each layer's sources
write. No autodiff, no query or key, no forward pass. Per target and layer the cost is
2·m·d·(H·R + K·R) + 2·m²·H·R + 2·d·B·S FLOPs for m positions (`circuits.engine.cost` counts them).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from threading import Lock

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from circuits.engine.sources import Sources
from circuits.trace import Trace

UNROLLED_POSITIONS = 16
"""Up to here the pattern is applied as one fused sum over position pairs, beyond as a product."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Passed:
    """An MLP that no features replace, held still."""

    write: Float[Array, "d M"]
    read: Float[Array, "C M d"]
    coefficient: Float[Array, "C m M"]
    constant: Float[Array, "m d"] | None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Layer:
    """Device arrays of one layer, cut to the first m positions. Absent parts are None.

    `pattern` has both scales folded: write_scale[q] · pattern[q, k] · read_scale[k].
    `skip_scale` is read_scale · write_scale of the MLP. `block_position` is None where there is just
    one block for each position. Positions stand before targets everywhere, so that one position's
    cotangents of all targets are contiguous. `stream`: features sit on the stream after the block.
    """

    output: Float[Array, "d HR"] | None
    value: Float[Array, "KR d"] | None
    pattern: Float[Array, "K G m m"] | None
    skip: Float[Array, "d d"] | None
    skip_scale: Float[Array, "m"] | None
    blocks: Float[Array, "B S d"]
    block_position: Int[Array, "B"] | None
    live: Float[Array, "B S"]
    mlp_bias: Float[Array, "m d"] | None
    attention_bias: Float[Array, "m d"] | None
    passing: Passed | None
    stream: bool = field(metadata={"static": True})


@dataclass(frozen=True)
class Cut:
    """The operator of a trace cut to the first m positions: its layers and the embeddings below them."""

    layers: tuple[Layer, ...]
    inputs: Float[Array, "J m d"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LayerEffects:
    """The effects of one layer's sources on T targets.

    `total` and `magnitude` are Σ weight and Σ |weight| over its features and errors.
    """

    blocks: Float[Array, "B T S"]
    total: Float[Array, "T"]
    magnitude: Float[Array, "T"]
    mlp_bias: Float[Array, "T"]
    attention_bias: Float[Array, "T"]


@dataclass(frozen=True)
class Effects:
    """The effects of every source below the targets.

    `layers` are those below the targets' own; `own_attention_bias` is what the constants of their own
    layer's attention contribute.
    """

    layers: tuple[LayerEffects, ...]
    own_attention_bias: Float[Array, "T"] | None
    inputs: Float[Array, "J m T"]


class Operator:
    """The operator of one trace on one device, cut to a number of positions when asked.

    Every layer's arrays are arrays of their own: slicing them out of one stacked array inside a
    compiled loop copies each weight once more per call, a tenth of the whole time on a CPU.

    Args:
        trace: gives attention, scales and skips.
        sources: gives what sources write.
        device: where to compute; arrays are kept there.
    """

    def __init__(self, trace: Trace, sources: Sources, device: jax.Device) -> None:
        self.device = device
        self.parallel = trace.parallel
        self.n_layers = trace.n_layers
        self._trace = trace
        self._sources = sources
        self._cut: tuple[int, Cut] | None = None
        self._lock = Lock()
        self._weights = [self._put_weights(layer) for layer in range(trace.n_layers)]
        self._held = [self._put_held(layer) for layer in range(trace.n_layers)]

    def cut(self, positions: int) -> Cut:
        """Gives the arrays cut (or zero-padded) to the first `positions`.

        Only the last cut is kept, so ask in order of positions. Threads may ask at the same time.
        """
        with self._lock:
            if self._cut is None or self._cut[0] != positions:
                self._cut = (positions, self._make(positions))
            return self._cut[1]

    def _put(self, values: np.ndarray | None) -> Array | None:
        return None if values is None else jax.device_put(values, self.device)

    def _put_weights(self, layer: int) -> tuple[Array | None, Array | None, Array | None]:
        """Gives output, value and skip of a layer: what does not depend on positions."""
        attention, skip = self._trace.attention, self._trace.mlp.skip
        output = value = None
        if attention is not None:
            heads, width, rank = attention.output.shape[1:]
            output = np.ascontiguousarray(attention.output[layer].transpose(1, 0, 2)).reshape(
                width, heads * rank
            )
            value = attention.value[layer].reshape(-1, width)
        return self._put(output), self._put(value), self._put(None if skip is None else skip[layer])

    def _put_held(self, layer: int) -> tuple[int, Array, Array] | None:
        """Gives row, write and read of the layer's held MLP, or None."""
        passing = self._trace.passing
        if passing is None or layer not in passing.layer:
            return None
        row = int(np.flatnonzero(passing.layer == layer)[0])
        put = (jax.device_put(part[row], self.device) for part in (passing.write, passing.read))
        return (row, *put)

    def _make(self, m: int) -> Cut:
        sources, n = self._sources, self._trace.n_positions
        used = int((sources.block_position < m).sum(1).max(initial=0))
        every = np.arange(min(m, n))
        aligned = used == len(every) and bool((sources.block_position[:, :used] == every).all())
        count = m if aligned else block_bucket(used)
        layers = tuple(self._layer(at, m, count, aligned=aligned) for at in range(self.n_layers))
        return Cut(layers, jax.device_put(_fit(sources.inputs, {1: m}), self.device))

    def _layer(self, at: int, m: int, count: int, *, aligned: bool) -> Layer:
        trace, sources, put = self._trace, self._sources, self._put
        output, value, skip = self._weights[at]
        skip = None if trace.on_stream(at) else skip
        position = _fit(sources.block_position[at], {0: count})
        seen = position < m
        scale = trace.mlp.read_scale[at] * trace.mlp.write_scale[at]
        biases = (
            None if values is None else _fit(values[at], {0: m})
            for values in (sources.mlp_bias, sources.attention_bias)
        )
        mlp_bias, attention_bias = map(put, biases)
        return Layer(
            output=output,
            value=value,
            pattern=put(self._pattern(at, m)),
            skip=skip,
            skip_scale=None if skip is None else put(_fit(scale, {0: m})),
            blocks=jax.device_put(_fit(sources.blocks[at], {0: count}) * seen[:, None, None], self.device),
            block_position=None if aligned else put(np.where(seen, position, 0).astype(np.int32)),
            live=jax.device_put(_fit(sources.live[at], {0: count}), self.device),
            mlp_bias=mlp_bias,
            attention_bias=attention_bias,
            passing=self._passing(at, m),
            stream=trace.on_stream(at),
        )

    def _passing(self, at: int, m: int) -> Passed | None:
        held, passing = self._held[at], self._trace.passing
        if held is None or passing is None:
            return None
        row, write, read = held
        constant = None if passing.constant is None else _fit(passing.constant[row], {0: m})
        coefficient = jax.device_put(_fit(passing.coefficient[row], {1: m}), self.device)
        return Passed(write, read, coefficient, self._put(constant))

    def _pattern(self, at: int, m: int) -> Float[np.ndarray, "K G m m"] | None:
        attention = self._trace.attention
        if attention is None:
            return None
        scaled = _fit(attention.pattern[at], {1: m, 2: m})
        scaled = scaled * _fit(attention.read_scale[at], {0: m})[None, None, :]
        scaled = scaled * _fit(attention.write_scale[at], {0: m})[None, :, None]
        groups = attention.value.shape[1]
        folded: Float[np.ndarray, "K G m m"] = scaled.reshape(groups, -1, m, m)
        return folded


def block_bucket(count: int) -> int:
    """Gives the padded number of blocks, so that prompts share compiled shapes; at least one.

    Example:
        >>> [block_bucket(count) for count in (0, 12, 13, 50)]
        [4, 12, 16, 56]
    """
    step = 4
    while count > 8 * step:
        step *= 2
    return max(-(-count // step), 1) * step


def _fit(values: np.ndarray, sizes: dict[int, int]) -> np.ndarray:
    """Gives `values` cut or zero-padded to the given sizes of axes."""
    cut = values[tuple(slice(sizes.get(axis)) for axis in range(values.ndim))]
    pad = [(0, sizes.get(axis, size) - size) for axis, size in enumerate(cut.shape)]
    return np.pad(cut, pad) if any(after for _, after in pad) else cut


def pull(
    cut: Cut,
    reads: Float[Array, "T d"],
    positions: Int[Array, "T"],
    target_layer: int,
    *,
    parallel: bool,
    entering: bool = False,
) -> Effects:
    """Gives the effect of every source on targets that read with `reads` at `positions`.

    One compiled step serves all layers; steps are queued on the device without waiting.

    Args:
        cut: the operator's arrays, cut to m positions, all `positions` below m.
        reads: what each target reads, all scales applied.
        positions: where.
        target_layer: the layer whose features the targets are, or L for logits.
        parallel: attention stands beside the MLP, so a feature does not read its own layer's attention.
        entering: the targets read the stream that enters the layer, below attention (queries and keys do).
    """
    own, m = None, cut.inputs.shape[1]
    if not entering and target_layer < len(cut.layers) and cut.layers[target_layer].stream:
        g, own = below(cut.layers[target_layer], placed(reads, positions, m=m), parallel=parallel)
    elif entering or parallel or target_layer == len(cut.layers):
        g = placed(reads, positions, m=m)
    else:
        g, own = _enter(cut.layers[target_layer], reads, positions, m=m)
    effects: list[LayerEffects] = []
    reached = True
    for layer in reversed(cut.layers[:target_layer]):
        if reached:
            g, found = _down(layer, g, parallel=parallel)
        else:
            found = _nothing(layer, len(reads))
        effects.append(found)
        reached = reached and not layer.stream  # nothing passes beside features that are the stream
    return Effects(tuple(reversed(effects)), own, _read_inputs(g, cut.inputs))


@partial(jax.jit, static_argnames=("m",))
def placed(reads: Float[Array, "T d"], positions: Int[Array, "T"], *, m: int) -> Float[Array, "m T d"]:
    """Gives cotangents that are what each target reads, at its position."""
    g = jnp.zeros((m, *reads.shape), reads.dtype)
    return g.at[positions, jnp.arange(len(reads))].set(reads)


@partial(jax.jit, static_argnames=("m",))
def _enter(
    layer: Layer, reads: Float[Array, "T d"], positions: Int[Array, "T"], *, m: int
) -> tuple[Float[Array, "m T d"], Float[Array, "T"] | None]:
    """Carries targets below the attention of their own layer, which each reads at one position only."""
    g = placed(reads, positions, m=m)
    bias = None
    if layer.attention_bias is not None:
        bias = (reads * layer.attention_bias[positions]).sum(1)
    if layer.output is None or layer.value is None or layer.pattern is None:
        return g, bias
    targets, width = reads.shape
    groups, shared = layer.pattern.shape[:2]
    out = (reads @ layer.output).reshape(targets, groups, shared, -1)
    mixed = jnp.einsum("tcgr,cgtk->ktcr", out, layer.pattern[:, :, positions]).reshape(m * targets, -1)
    return g + (mixed @ layer.value).reshape(m, targets, width), bias


@partial(jax.jit, static_argnames=("parallel",))
def _down(
    layer: Layer, g: Float[Array, "m T d"], *, parallel: bool
) -> tuple[Float[Array, "m T d"], LayerEffects]:
    """Reads out one layer's sources and carries the cotangents to the residual stream below it."""
    read = g if layer.block_position is None else g[layer.block_position]
    blocks = jnp.einsum("btd,bsd->bts", read, layer.blocks)
    lower, bias = (jnp.zeros_like(g), None) if layer.stream else below(layer, g, parallel=parallel)
    return lower, LayerEffects(
        blocks=blocks,
        total=jnp.einsum("bts,bs->t", blocks, layer.live),
        magnitude=jnp.einsum("bts,bs->t", jnp.abs(blocks), layer.live),
        mlp_bias=_constant(g, layer.mlp_bias),
        attention_bias=jnp.zeros(g.shape[1], g.dtype) if bias is None else bias,
    )


@partial(jax.jit, static_argnames=("parallel",))
def below(
    layer: Layer, g: Float[Array, "m T d"], *, parallel: bool
) -> tuple[Float[Array, "m T d"], Float[Array, "T"]]:
    """Carries cotangents past what surrounds the features, and tells what the constants there add."""
    beside = pass_beside(layer, g)
    middle = g if parallel else g + beside
    lower = middle + attend_back(middle, layer)
    bias = _constant(middle, layer.attention_bias)
    if layer.passing is not None:
        bias += _constant(g, layer.passing.constant)
    return (lower + beside if parallel else lower), bias


def _nothing(layer: Layer, targets: int) -> LayerEffects:
    """Gives the effects of a layer that the targets cannot see."""
    blocks, size, _ = layer.blocks.shape
    none = jnp.zeros(targets, layer.blocks.dtype)
    return LayerEffects(jnp.zeros((blocks, targets, size), none.dtype), none, none, none, none)


def pass_beside(layer: Layer, g: Float[Array, "m T d"]) -> Float[Array, "m T d"] | float:
    """Gives what the MLP's input receives by the skip connection or through a held MLP."""
    beside: Array | float = 0.0
    if layer.skip is not None and layer.skip_scale is not None:
        beside = (g * layer.skip_scale[:, None, None]) @ layer.skip
    if layer.passing is not None:
        hidden = g @ layer.passing.write
        for part in range(len(layer.passing.read)):
            beside += (hidden * layer.passing.coefficient[part][:, None, :]) @ layer.passing.read[part]
    return beside


def _constant(g: Float[Array, "m T d"], written: Float[Array, "m d"] | None) -> Float[Array, "T"]:
    """Gives what constants written at all positions contribute."""
    if written is None:
        return jnp.zeros(g.shape[1], g.dtype)
    # position by position: contracting both axes at once would first transpose g
    return jnp.einsum("ptd,pd->pt", g, written).sum(0)


@jax.jit
def _read_inputs(g: Float[Array, "m T d"], inputs: Float[Array, "J m d"]) -> Float[Array, "J m T"]:
    return jnp.einsum("ptd,jpd->jpt", g, inputs)


def attend_back(g: Float[Array, "m T d"], layer: Layer) -> Float[Array, "m T d"] | float:
    """Gives V' P' O' g: what attention's inputs receive of the cotangents of its outputs."""
    if layer.output is None or layer.value is None or layer.pattern is None:
        return 0.0
    m, targets, width = g.shape
    groups, shared = layer.pattern.shape[:2]
    rank = layer.value.shape[0] // groups
    out = (g.reshape(m * targets, width) @ layer.output).reshape(m, targets, groups, shared, rank)
    mixed = _mix_unrolled(out, layer.pattern) if m <= UNROLLED_POSITIONS else _mix(out, layer.pattern)
    return (mixed.reshape(m * targets, groups * rank) @ layer.value).reshape(m, targets, width)


def _mix_unrolled(
    out: Float[Array, "m T K G R"], pattern: Float[Array, "K G m m"]
) -> Float[Array, "m T K R"]:
    """Gives Σ_q,g pattern[g, q, k] · out[q, g] as one fused sum over the causal pairs q ≥ k."""
    m, _, _, shared, _ = out.shape
    return jnp.stack(
        [
            sum(
                (
                    out[q, :, :, g] * pattern[:, g, q, k][None, :, None]
                    for q in range(k, m)
                    for g in range(shared)
                ),
                start=jnp.zeros_like(out[0, :, :, 0]),
            )
            for k in range(m)
        ]
    )


def _mix(out: Float[Array, "m T K G R"], pattern: Float[Array, "K G m m"]) -> Float[Array, "m T K R"]:
    """Gives the same as `_mix_unrolled`, as one product per value group."""
    m, targets, groups, shared, rank = out.shape
    left = pattern.transpose(0, 3, 2, 1).reshape(groups, m, m * shared)
    right = out.transpose(2, 0, 3, 1, 4).reshape(groups, m * shared, targets * rank)
    return (left @ right).reshape(groups, m, targets, rank).transpose(1, 2, 0, 3)
