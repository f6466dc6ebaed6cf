"""The prompts of the study: a text, its answer, and a rival the answer is measured against.

A prompt is kept where both words are one token and the model's likeliest next token is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from circuits.errors import CircuitsError
from circuits.extraction.targets import token_id
from circuits.models.base import Model
from circuits.models.forward import forward


@dataclass(frozen=True)
class Task:
    """One prompt; the target is the logit of `answer` over that of `rival`."""

    kind: str
    text: str
    answer: str
    rival: str


TWO_HOP: Final = "The capital of the state containing {} is"
CAPITAL: Final = "The capital of {} is"
GIVING: Final = "When {} and {} went to the {}, {} gave a {} to"

TOY: Final = (
    *(
        Task("two facts", TWO_HOP.format(city), answer, rival)
        for city, answer, rival in (
            ("Dallas", " Austin", " Sacramento"),
            ("Seattle", " Olympia", " Austin"),
            ("Miami", " Tallahassee", " Olympia"),
            ("Houston", " Austin", " Tallahassee"),
            ("Chicago", " Springfield", " Austin"),
            ("Atlanta", " Atlanta", " Austin"),
            ("Portland", " Salem", " Olympia"),
            ("Tampa", " Tallahassee", " Austin"),
        )
    ),
    *(
        Task("one fact", CAPITAL.format(place), answer, rival)
        for place, answer, rival in (
            ("Texas", " Austin", " Sacramento"),
            ("California", " Sacramento", " Austin"),
            ("Florida", " Tallahassee", " Austin"),
            ("France", " Paris", " Berlin"),
            ("Germany", " Berlin", " Paris"),
            ("Italy", " Rome", " Madrid"),
            ("Japan", " Tokyo", " Rome"),
            ("Spain", " Madrid", " Rome"),
        )
    ),
    Task("one fact", "The currency of Japan is the", " Yen", " Ringgit"),
    Task("one fact", "Berlin is the capital of", " Germany", " Italy"),
    Task("one fact", "Rome is the capital of", " Italy", " Germany"),
    *(
        Task("indirect object", GIVING.format(one, two, place, again, thing), answer, f" {again}")
        for one, two, place, again, thing, answer in (
            ("Mary", "John", "store", "John", "drink", " Mary"),
            ("Tom", "Anna", "park", "Anna", "book", " Tom"),
            ("James", "Alice", "school", "Alice", "ring", " James"),
            ("Laura", "James", "store", "James", "book", " Laura"),
        )
    ),
    Task("opposite", "The opposite of hot is", " cold", " light"),
    Task("opposite", "The opposite of good is", " bad", " sad"),
    Task("opposite", "The opposite of small is", " large", " short"),
)

SMOLLM2: Final = (
    *(
        Task("one fact", CAPITAL.format(place), answer, rival)
        for place, answer, rival in (
            ("France", " Paris", " London"),
            ("Germany", " Berlin", " London"),
            ("Italy", " Rome", " Paris"),
            ("Japan", " Tokyo", " Paris"),
            ("Spain", " Madrid", " Paris"),
            ("Russia", " Moscow", " Paris"),
            ("Egypt", " Cairo", " Paris"),
        )
    ),
    Task("one fact", "The Colosseum is in", " Rome", " Paris"),
    Task("one fact", "The Eiffel Tower is in", " Paris", " London"),
    Task("one fact", "The author of Hamlet is William", " Shakespeare", " Smith"),
    Task("one fact", "The chemical symbol for gold is", " Au", " Ag"),
    Task("opposite", "The opposite of hot is", " cold", " warm"),
    Task("opposite", "The opposite of up is", " down", " right"),
    Task("opposite", "The opposite of big is", " small", " large"),
    Task("sequence", "one, two, three,", " four", " five"),
    Task("sequence", "The days of the week are Monday, Tuesday,", " Wednesday", " Friday"),
    Task("sequence", "Monday, Tuesday,", " Wednesday", " Friday"),
    *(
        Task("indirect object", GIVING.format(one, two, place, again, thing), answer, f" {again}")
        for one, two, place, again, thing, answer in (
            ("Mary", "John", "store", "John", "drink", " Mary"),
            ("Tom", "Anna", "park", "Anna", "book", " Tom"),
            ("James", "Alice", "school", "Alice", "ring", " James"),
        )
    ),
    Task("indirect object", "After Paul and Lucy had lunch, Lucy said goodbye to", " Paul", " Lucy"),
    *(
        Task("agreement", text, answer, rival)
        for text, answer, rival in (
            ("The key to the cabinets", " is", " are"),
            ("The keys to the cabinet", " are", " is"),
            ("The pictures on the wall", " were", " was"),
            ("The picture on the walls", " was", " were"),
            ("The boys near the house", " were", " was"),
        )
    ),
)

TASKS: Final[Mapping[str, tuple[Task, ...]]] = {"toy": TOY, "smollm2": SMOLLM2}
"""By model. The toy knows what it was trained on: geography, giving, opposites."""


def answered(model: Model, task: Task) -> bool:
    """Tells whether both words are single tokens and the answer is the likeliest next one."""
    try:
        answer, _ = (token_id(model, word) for word in (task.answer, task.rival))
    except CircuitsError:
        return False
    return int(forward(model, model.encode(task.text)).logits[-1].argmax()) == answer
