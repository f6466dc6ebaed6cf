"""Hook names, as TransformerLens and Hugging Face give them, in terms of our read and write sites.

A name says a block and a place in it: ``blocks.5.hook_resid_post`` (TransformerLens), ``model.layers.5``,
``transformer.h.5.mlp`` (modules of Hugging Face, their output meant), ``model.layers.5.mlp.input``
(Gemma Scope says ``.input`` or ``.output`` of a module).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast, get_args

from circuits.dictionaries.base import ReadSite, WriteSite
from circuits.dictionaries.hints import Hints
from circuits.errors import Incompatible, UsageError
from circuits.models.base import Model

_TRANSFORMER_LENS: Final[Mapping[str, ReadSite]] = {
    "hook_resid_post": "block_out",
    "hook_out": "block_out",  # TransformerBridge
    "hook_mlp_out": "mlp_added",  # after a post-norm, where there is one
    "ln2_post.hook_out": "mlp_added",  # TransformerBridge
    "mlp.hook_out": "mlp_out",
    "mlp.hook_in": "mlp_in",
    "ln2.hook_out": "mlp_in",  # TransformerBridge
    "ln2.hook_normalized": "mlp_in_no_gain",
    "hook_resid_mid": "residual",
    "hook_mlp_in": "residual",  # the stream as it enters ln2
    "ln2.hook_in": "residual",  # TransformerBridge
}
_BEFORE_THE_BLOCK: Final = ("hook_resid_pre", "hook_in")

_HUGGING_FACE: Final[Mapping[str, ReadSite]] = {
    "": "block_out",
    "output": "block_out",
    "mlp": "mlp_out",
    "mlp.output": "mlp_out",
    "mlp.input": "mlp_in",
    "pre_feedforward_layernorm": "mlp_in",  # Gemma
    "pre_feedforward_layernorm.output": "mlp_in",
    "pre_feedforward_layernorm.input": "residual",
    "post_feedforward_layernorm": "mlp_added",
    "post_feedforward_layernorm.output": "mlp_added",
    "post_feedforward_layernorm.input": "mlp_out",
    "ln_2": "mlp_in",  # GPT-2
    "ln_2.output": "mlp_in",
    "ln_2.input": "residual",
}
_HOOKS: Final[Mapping[ReadSite, str]] = {
    "block_out": "hook_resid_post",
    "mlp_added": "hook_mlp_out",
    "mlp_out": "mlp.hook_out",
    "mlp_in": "mlp.hook_in",
    "mlp_in_no_gain": "ln2.hook_normalized",
    "residual": "hook_resid_mid",
}
_WRITE_SITES: Final = get_args(WriteSite)


@dataclass(frozen=True)
class Place:
    """Where a coder sits.

    Attributes:
        layer: the block, from 0.
        reads: where it reads in that block.
        writes: where it writes in that block.
    """

    layer: int
    reads: ReadSite
    writes: WriteSite


def hook_name(layer: int | None, site: ReadSite) -> str:
    """Gives the name TransformerLens has for a site, of one layer or of each.

    Example:
        >>> hook_name(5, "block_out"), hook_name(None, "block_out")
        ('blocks.5.hook_resid_post', 'hook_resid_post')
    """
    return _HOOKS[site] if layer is None else f"blocks.{layer}.{_HOOKS[site]}"


def site_of(hook: str, path: Path) -> tuple[int, ReadSite]:
    """Gives block and site of a hook name; the stream before a block is what the one below gives out.

    Args:
        hook: the name.
        path: the file that says it, for the message.

    Raises:
        Incompatible: a hook of a place where features can neither read nor write.

    Example:
        >>> site_of("blocks.5.hook_resid_pre", Path("sae"))
        (4, 'block_out')
    """
    found = re.fullmatch(r"(?:\w+\.)*?(blocks|layers|h)\.(\d+)(?:\.(.+))?", hook)
    if found is not None:
        layer, place = int(found[2]), found[3] or ""
        lens = found[1] == "blocks"
        if lens and place in _BEFORE_THE_BLOCK and layer > 0:
            return layer - 1, "block_out"
        known = _TRANSFORMER_LENS if lens else _HUGGING_FACE
        if place in known:
            return layer, known[place]
    raise Incompatible(
        f"{path} sits at {hook!r}, where features cannot be placed: supported are the stream after a block"
        " (hook_resid_post, or hook_resid_pre of any block but the first) and the input and output of an"
        " MLP (hook_mlp_out, ln2.hook_normalized, mlp.hook_in and the like)."
    )


def sae_place(hook: str, path: Path) -> Place:
    """Gives where an SAE sits, which writes where it reads.

    Raises:
        Incompatible: an unsupported hook.
    """
    layer, site = site_of(hook, path)
    return Place(layer, site, _writable(site, hook, path))


def transcoder_place(hook_in: str, hook_out: str, path: Path) -> Place:
    """Gives where a transcoder sits.

    Raises:
        Incompatible: an unsupported hook, or hooks of two blocks.
    """
    layer, reads = site_of(hook_in, path)
    into, writes = site_of(hook_out, path)
    if layer != into:
        raise Incompatible(
            f"{path} reads {hook_in!r} and writes {hook_out!r}, in another block: only one block's own MLP"
            " can be replaced."
        )
    return Place(layer, reads, _writable(writes, hook_out, path))


def lens_read_site(site: ReadSite, model: Model) -> ReadSite:
    """Gives where a hook of TransformerLens lies in a model that it has loaded without processing.

    Its RMS norms have `hook_normalized` before the gain, its LayerNorm after gain and bias.
    """
    layered = model.anatomy.layers[0].mlp_norm.kind == "layer"
    return "mlp_in" if site == "mlp_in_no_gain" and layered else site


def hinted_place(hints: Hints, path: Path, *, layer: int | None = None) -> tuple[Place, bool]:
    """Gives where the user says that a coder sits, and whether it is a transcoder.

    Args:
        hints: `layer`, and `site` for an SAE or `reads` and `writes` for a transcoder.
        path: what was loaded, for the message.
        layer: the block, where the files do say that.

    Raises:
        UsageError: too little or too much is given.
    """
    layer = hints.layer if layer is None else layer
    transcoder = hints.site is None
    reads, writes = (hints.reads, hints.writes) if transcoder else (hints.site, hints.site)
    contradicting = not transcoder and (hints.reads or hints.writes)
    if layer is None or reads is None or writes is None or contradicting:
        raise UsageError(
            f"{path} does not say where it belongs: add ?layer=5&site=block_out to its name for an SAE"
            " (or site=mlp_added), ?layer=5&reads=mlp_in_no_gain&writes=mlp_added for a transcoder."
        )
    if writes not in _WRITE_SITES:
        raise UsageError(
            f"{path} cannot write at {writes!r}: features write at {', '.join(map(str, _WRITE_SITES))}."
        )
    return Place(layer, cast("ReadSite", reads), cast("WriteSite", writes)), transcoder


def hinted_clt_place(hints: Hints, path: Path) -> Place:
    """Gives where the user says that a cross-layer transcoder reads and writes; the layer is of no meaning.

    Raises:
        UsageError: too little or too much is given.
    """
    if hints.layer is not None or hints.site is not None or not (hints.reads and hints.writes):
        raise UsageError(
            f"{path} is a cross-layer transcoder that does not say where it belongs: add"
            " ?reads=mlp_in&writes=mlp_added to its name, and no layer."
        )
    return hinted_place(hints, path, layer=0)[0]


def _writable(site: ReadSite, hook: str, path: Path) -> WriteSite:
    if site not in _WRITE_SITES:
        raise Incompatible(
            f"{path} writes at {hook!r}, but features write at the output of a block or an MLP only:"
            " hook_resid_post or hook_mlp_out."
        )
    return cast("WriteSite", site)
