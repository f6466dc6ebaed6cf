"""The transposed linear map of one prompt: from what targets read down to what sources write (JAX).

With attention patterns and normalisation scales frozen, the residual stream is a linear function of
everything written into it (Ameisen et al. 2025, local replacement model). A target reads it with a
vector; that vector is carried *down*, layer by layer, and contracted with what each layer's sources
write. No autodiff, no query or key, no forward pass. Per target and layer the cost is
2·m·d·(H·R + K·R) + 2·m²·H·R + 2·d·(B·S + E·m) multiply-adds' worth of FLOPs for m positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from threading import Lock

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int

from circuits.engine.sources import Sources
from circuits.trace import Trace

UNROLLED_POSITIONS = 16
"""Up to here the pattern is applied as one fused sum over position pairs, beyond as a product."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Layers:
    """Device arrays of all layers, cut to the first m positions. Absent parts are None.

    `pattern` has both scales folded: write_scale[q] · pattern[q, k] · read_scale[k].
    `skip_scale` is read_scale · write_scale of the MLP. `block_position` is None where every layer has
    just one block for each position. Positions stand before targets everywhere, so
    that one position's cotangents of all targets are contiguous.
    """

    output: Float[Array, "L d HR"] | None
    value: Float[Array, "L KR d"] | None
    pattern: Float[Array, "L K G m m"] | None
    skip: Float[Array, "L d d"] | None
    skip_scale: Float[Array, "L m"] | None
    blocks: Float[Array, "L B S d"]
    block_position: Int[Array, "L B"] | None
    live: Float[Array, "L B S"]
    mlp_bias: Float[Array, "L m d"] | None
    attention_bias: Float[Array, "L m d"] | None
    inputs: Float[Array, "J m d"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Effects:
    """The effect of every source on T targets; layers at or above the target hold zeros.

    `total` and `magnitude` are Σ weight and Σ |weight| over each block. The last sums are left to the
    host, in float64: one long float32 sum over all sources would lose two digits.
    """

    blocks: Float[Array, "L B T S"]
    mlp_bias: Float[Array, "L T"]
    attention_bias: Float[Array, "L T"]
    inputs: Float[Array, "J m T"]
    total: Float[Array, "L B T"]
    magnitude: Float[Array, "L B T"]


class Operator:
    """The operator of one trace on one device, cut to a number of positions when asked.

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
        self._cut: tuple[int, Layers] | None = None
        self._lock = Lock()
        put = partial(jax.device_put, device=device)
        attention = trace.attention
        if attention is None:
            self._output = self._value = self._pattern = None
        else:
            layers, heads, width, rank = attention.output.shape
            groups = attention.value.shape[1]
            by_head = attention.output.transpose(0, 2, 1, 3).reshape(layers, width, heads * rank)
            self._output = put(np.ascontiguousarray(by_head))
            self._value = put(attention.value.reshape(layers, groups * rank, width))
            scaled = attention.pattern * attention.read_scale[:, None, None, :]
            scaled = scaled * attention.write_scale[:, None, :, None]
            n = scaled.shape[-1]
            self._pattern = scaled.reshape(layers, groups, heads // groups, n, n)
        self._skip = None if trace.mlp.skip is None else put(trace.mlp.skip)

    def layers(self, positions: int) -> Layers:
        """Gives the arrays cut (or zero-padded) to the first `positions`.

        Only the last cut is kept, so ask in order of positions. Threads may ask at the same time.
        """
        with self._lock:
            if self._cut is None or self._cut[0] != positions:
                self._cut = (positions, self._make(positions))
            return self._cut[1]

    def _make(self, m: int) -> Layers:
        put = partial(jax.device_put, device=self.device)
        trace, sources = self._trace, self._sources
        used = int((sources.block_position < m).sum(1).max(initial=0))
        every = np.arange(min(m, trace.n_positions))
        aligned = used == len(every) and bool((sources.block_position[:, :used] == every).all())
        count = m if aligned else block_bucket(used)
        block_position = _fit(sources.block_position, {1: count})
        seen = block_position < m
        scale = trace.mlp.read_scale * trace.mlp.write_scale
        return Layers(
            output=self._output,
            value=self._value,
            pattern=None if self._pattern is None else put(_fit(self._pattern, {3: m, 4: m})),
            skip=self._skip,
            skip_scale=None if self._skip is None else put(_fit(scale, {1: m})),
            blocks=put(_fit(sources.blocks, {1: count}) * seen[:, :, None, None]),
            block_position=None if aligned else put(np.where(seen, block_position, 0).astype(np.int32)),
            live=put(_fit(sources.live, {1: count})),
            mlp_bias=self._positions(sources.mlp_bias, m),
            attention_bias=self._positions(sources.attention_bias, m),
            inputs=put(_fit(sources.inputs, {1: m})),
        )

    def _positions(self, values: np.ndarray | None, m: int) -> Array | None:
        return None if values is None else jax.device_put(_fit(values, {1: m}), self.device)


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


@partial(jax.jit, static_argnames=("parallel",))
def pull(
    layers: Layers,
    reads: Float[Array, "T d"],
    positions: Int[Array, "T"],
    target_layer: Int[Array, ""],
    *,
    parallel: bool,
) -> Effects:
    """Gives the effect of every source on targets that read with `reads` at `positions`.

    Args:
        layers: the operator's arrays, cut to m positions, all `positions` below m.
        reads: what each target reads, all scales applied.
        positions: where.
        target_layer: the layer whose features the targets are, or L for logits. Traced, so one
            compilation serves all layers.
        parallel: attention stands beside the MLP, so a feature does not read its own layer's attention.
    """
    count, n_blocks, size, width = layers.blocks.shape
    m, targets = layers.inputs.shape[1], len(reads)
    zeros = partial(jnp.zeros, dtype=reads.dtype)
    g = zeros((m, targets, width)).at[positions, jnp.arange(targets)].set(reads)
    effects = Effects(
        blocks=zeros((count, n_blocks, targets, size)),
        mlp_bias=zeros((count, targets)),
        attention_bias=zeros((count, targets)),
        inputs=zeros((len(layers.inputs), m, targets)),
        total=zeros((count, n_blocks, targets)),
        magnitude=zeros((count, n_blocks, targets)),
    )
    if not parallel:
        g, effects = lax.cond(
            target_layer < count,
            lambda: _enter(layers, reads, positions, target_layer, (g, effects)),
            lambda: (g, effects),
        )

    def step(i: Array, state: tuple[Array, Effects]) -> tuple[Array, Effects]:
        return _down(target_layer - 1 - i, state, layers, parallel=parallel)

    g, effects = lax.fori_loop(0, target_layer, step, (g, effects))
    inputs = jnp.einsum("ptd,jpd->jpt", g, layers.inputs)
    total, magnitude = (
        jnp.einsum("lbts,lbs->lbt", values, layers.live)
        for values in (effects.blocks, jnp.abs(effects.blocks))
    )
    return _with(effects, inputs=inputs, total=total, magnitude=magnitude)


def _enter(
    layers: Layers,
    reads: Float[Array, "T d"],
    positions: Int[Array, "T"],
    layer: Array,
    state: tuple[Array, Effects],
) -> tuple[Array, Effects]:
    """Carries targets below the attention of their own layer, which each reads at one position only."""
    g, effects = state
    if layers.attention_bias is not None:
        bias = (reads * layers.attention_bias[layer][positions]).sum(1)
        effects = _with(effects, attention_bias=effects.attention_bias.at[layer].set(bias))
    if layers.output is None or layers.value is None or layers.pattern is None:
        return g, effects
    m, targets, width = g.shape
    groups, shared = layers.pattern.shape[1:3]
    out = (reads @ layers.output[layer]).reshape(targets, groups, shared, -1)
    pattern = layers.pattern[layer][:, :, positions]
    mixed = jnp.einsum("tcgr,cgtk->ktcr", out, pattern).reshape(m * targets, -1)
    return g + (mixed @ layers.value[layer]).reshape(m, targets, width), effects


def _down(
    layer: Array, state: tuple[Array, Effects], layers: Layers, *, parallel: bool
) -> tuple[Array, Effects]:
    """Reads out one layer's sources and carries the cotangents to the residual stream below it."""
    g, effects = state
    read = g if layers.block_position is None else g[layers.block_position[layer]]
    blocks = jnp.einsum("btd,bsd->bts", read, layers.blocks[layer])
    skipped: Array | float = 0.0
    if layers.skip is not None and layers.skip_scale is not None:
        skipped = (g * layers.skip_scale[layer][:, None, None]) @ layers.skip[layer]
    middle = g if parallel else g + skipped
    put = partial(lax.dynamic_update_index_in_dim, index=layer, axis=0)
    effects = _with(effects, blocks=put(effects.blocks, blocks))
    if layers.mlp_bias is not None:
        bias = jnp.einsum("ptd,pd->t", g, layers.mlp_bias[layer])
        effects = _with(effects, mlp_bias=put(effects.mlp_bias, bias))
    if layers.attention_bias is not None:
        bias = jnp.einsum("ptd,pd->t", middle, layers.attention_bias[layer])
        effects = _with(effects, attention_bias=put(effects.attention_bias, bias))
    lower = middle + _attention(middle, layer, layers)
    return (lower + skipped if parallel else lower), effects


def _with(effects: Effects, **parts: Array) -> Effects:
    return replace(effects, **parts)


def _attention(g: Float[Array, "m T d"], layer: Array, layers: Layers) -> Float[Array, "m T d"] | float:
    """Gives V' P' O' g: what attention's inputs receive of the cotangents of its outputs."""
    if layers.output is None or layers.value is None or layers.pattern is None:
        return 0.0
    m, targets, width = g.shape
    groups, shared = layers.pattern.shape[1:3]
    rank = layers.value.shape[1] // groups
    out = (g.reshape(m * targets, width) @ layers.output[layer]).reshape(m, targets, groups, shared, rank)
    pattern = layers.pattern[layer]
    mixed = _mix_unrolled(out, pattern) if m <= UNROLLED_POSITIONS else _mix(out, pattern)
    return (mixed.reshape(m * targets, groups * rank) @ layers.value[layer]).reshape(m, targets, width)


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
