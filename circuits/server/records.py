"""What comes in and goes out, as the API describes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Cell = str | int | float | bool | None
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=500)]
RunName = Annotated[str, StringConstraints(pattern=r"^[\w][\w .+-]{0,99}$", max_length=100)]


class Body(BaseModel):
    """What a request says; a name it does not know is refused."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """What went wrong."""

    error: str = Field(description="One sentence: what is wrong, and what to do.")
    kind: str = Field(description="The kind of error: NotFound, UsageError, InvalidFile, Refused, …")


class Output(BaseModel):
    """The likeliest output a run explains."""

    text: str = Field(description="As it stands in the tokenizer: “ Austin” begins with a space.")
    probability: float | None


class RunItem(BaseModel):
    """A run in the list."""

    run: str = Field(description="Its name here: the folder's place below the served one.")
    prompt: str | None = None
    output: Output | None = None
    model: str | None = None
    dictionary: str | None = None
    tokens: int | None = None
    nodes: int | None = None
    edges: int | None = None
    hyperedges: int | None = None
    verdicts: int | None = None
    created: str | None = Field(None, description="ISO 8601, UTC.")
    scores: dict[str, float | None] = Field(default_factory=dict, description="replacement, completeness, …")
    error: str | None = Field(None, description="Why it cannot be opened; null where it can.")


class Choice(BaseModel):
    """A model and a dictionary that new prompts can be run with."""

    model: str
    dictionary: str


class Runs(BaseModel):
    """All runs, the newest first."""

    folder: str = Field(description="The served folder's own name.")
    runs: list[RunItem]
    more: bool = Field(description="There are more runs than are listed.")
    choices: list[Choice]
    writable: bool = Field(description="Whether new runs can be made here.")


class Table(BaseModel):
    """A table."""

    caption: str
    columns: list[str]
    numeric: list[bool] = Field(description="Whether a column is a number, by column.")
    rows: list[list[str]] = Field(description="Cells as shown, by row.")
    values: list[list[Cell]] = Field(description="The same cells as exact values; lists as text.")


class Page(BaseModel):
    """Some rows of a table of a run; columns as `circuits/schema.py` has them."""

    run: str
    table: str
    total: int = Field(description="Rows of the whole table.")
    offset: int
    next: int | None = Field(description="The offset of the next page; null on the last.")
    columns: list[str]
    rows: list[list[Any]]


class Highlight(BaseModel):
    """The part of the graph an answer is about."""

    nodes: list[str]
    edges: list[tuple[str, str]]


class AnswerOut(BaseModel):
    """An answer."""

    question: str
    finding: list[str] = Field(description="The answer in sentences, the most important first.")
    trust: str | None
    tables: dict[str, Table]
    highlight: Highlight
    code: str = Field(description="Python that gives the same answer.")
    left_out: list[str] = Field(description="What was too much to be sent, in sentences.")


class AskBody(Body):
    """A question in the grammar of `circuits ask`."""

    question: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]


class SqlBody(Body):
    """A query in SQL."""

    query: Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


class SqlOut(Table):
    """The rows a query gave."""

    finding: str = Field(description="How many rows there are.")
    more: bool = Field(description="There are more rows than are given.")
    code: str


class InterveneBody(Body):
    """What is done to features and words, all at once unless `each`."""

    actions: list[Word] = Field(
        min_length=1,
        max_length=50,
        description="Each a verb and what `circuits intervene` takes after it: `ablate Dallas:mean`,"
        " `set 2/1000@4=0`, `scale Texas=2`, `add 2/1000=1.5`, `swap RUN:Texas`.",
    )
    hold: str | None = Field(
        None, max_length=100, description="patterns, norms, mlps joined by commas; frozen or nothing."
    )
    until: int | None = Field(None, ge=0, description="Hold up to this layer only.")
    each: bool = Field(False, description="One thing at a time, a row for each.")
    generate: int = Field(0, ge=0, description="Tokens to write after the prompt.")


class IntervenedOut(AnswerOut):
    """What the graph predicts of it, beside what was measured on the model."""

    says: str = Field(description="What was done, in words.")
    columns: Table = Field(description="Targets: before, predicted, measured.")


class JobBody(Body):
    """A prompt to make a run of, as `circuits attribute` does."""

    prompt: Text
    model: Word = "toy"
    dictionary: Word = "toy"
    name: RunName | None = Field(None, description="Of the run; made from the prompt unless given.")
    targets: list[Word] = Field(
        default_factory=list, max_length=20, description="Tokens; the likeliest unless given."
    )
    over: Word | None = Field(None, description="Explain the one target less this token.")
    features: list[Word] = Field(default_factory=list, max_length=20, description="Features to explain.")
    select: str | None = Field(None, max_length=50, description="all, attribution:4000 or norm:0.95.")
    max_features: int = Field(4_000, ge=0, le=1_000_000)
    keep_trace: bool = False
    combinations: bool = Field(False, description="Look for combinations too, as `circuits interact` does.")


Status = Literal["waiting", "running", "done", "failed", "cancelled"]


class JobOut(BaseModel):
    """A job: how it stands."""

    id: str
    run: str = Field(description="The run it makes.")
    prompt: str
    model: str
    dictionary: str
    status: Status
    ahead: int = Field(description="Jobs that come before it.")
    phase: str = Field("", description="What is being done, in words.")
    done: int = 0
    total: int = Field(0, description="0 where nobody knows.")
    eta: float | None = Field(None, description="Seconds until this phase ends, about.")
    seconds: float = Field(0.0, description="Since it began.")
    error: str | None = None
    note: str | None = None
