"""What was asked: a text, its tokens, and the outputs to explain. Carried along, never re-tokenised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from circuits.errors import UsageError
from circuits.schema import parse_feature


@dataclass(frozen=True)
class TopLogits:
    """The most likely next tokens, as many as cover `coverage` of the probability, at most `most`.

    Ameisen et al. 2025 and circuit-tracer use 0.95 and 10.
    """

    coverage: float = 0.95
    most: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.coverage <= 1:
            raise UsageError(f"Coverage {self.coverage} is not a share: give a number in (0, 1].")
        if self.most < 1:
            raise UsageError(f"At most {self.most} logits leaves nothing to explain: give 1 or more.")


@dataclass(frozen=True)
class Logit:
    """The demeaned logit of one next token, given exactly as the tokenizer spells it (`" Austin"`)."""

    token: str


@dataclass(frozen=True)
class LogitDifference:
    """The logit of `token` minus the logit of `over`."""

    token: str
    over: str


@dataclass(frozen=True)
class FeatureTarget:
    """The pre-activation of one feature, given by its node name (`"12/4051@7"`)."""

    node: str

    def __post_init__(self) -> None:
        if parse_feature(self.node) is None:
            raise UsageError(f"{self.node!r} is no feature: write layer/feature@position, such as 12/4051@7.")


Target = TopLogits | Logit | LogitDifference | FeatureTarget


@runtime_checkable
class Tokenizing(Protocol):
    """Anything that turns text into token ids and back: `circuits.load_model` gives one."""

    def encode(self, text: str) -> list[int]:
        """Gives the token ids of `text`, special tokens as the model expects them."""
        ...

    def decode(self, token: int) -> str:
        """Gives the text of one token."""
        ...


@dataclass(frozen=True)
class Prompt:
    """A text, its tokens and the outputs to explain.

    Attributes:
        text: what the user wrote.
        ids: token ids, one a position.
        tokens: the text of each token.
        targets: outputs to explain, all at the last position unless they say otherwise.
    """

    text: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    targets: tuple[Target, ...] = field(default=(TopLogits(),))

    def __post_init__(self) -> None:
        if not self.ids:
            raise UsageError("The prompt is empty: give at least one word.")
        if len(self.ids) != len(self.tokens):
            raise UsageError(f"The prompt has {len(self.ids)} ids but {len(self.tokens)} token texts.")
        if not self.targets:
            raise UsageError("No target: name an output to explain, or leave the default.")

    @classmethod
    def of(cls, text: str, model: Tokenizing, *, targets: tuple[Target, ...] = ()) -> Prompt:
        """Gives the prompt for a text as `model` tokenises it.

        Args:
            text: the text; its last token's output is explained.
            model: gives the tokens.
            targets: outputs to explain; the top logits unless given.

        Raises:
            UsageError: the text is empty.
        """
        if not text.strip():
            raise UsageError("The prompt is empty: give at least one word.")
        ids = tuple(model.encode(text))
        return cls(text, ids, tuple(model.decode(i) for i in ids), targets or (TopLogits(),))

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 60 else f"{self.text[:59]}…"
        return f"Prompt({text!r}, {len(self.ids)} tokens, {len(self.targets)} targets)"

    def __len__(self) -> int:
        return len(self.ids)
