"""Short texts about nothing in particular: what features do on average, and what else an intervention does.

Written for this package; beginnings of ordinary sentences, so that each has a next word worth predicting.
"""

from __future__ import annotations

from typing import Final

NEUTRAL: Final[tuple[str, ...]] = (
    "The kettle was already on when she came into the",
    "He put the letter back in the drawer and closed",
    "It rained for most of the afternoon, so we stayed",
    "The meeting has been moved to the second week of",
    "After lunch the children went outside to play in the",
    "My neighbour grows tomatoes and beans in a small",
    "The bridge was built of stone and has stood for",
    "She reads the paper every morning before she goes to",
    "We took the early train and arrived a little before",
    "The dog slept by the door until somebody",
    "Add the flour slowly and stir until the mixture is",
    "The shop on the corner sells bread, milk and",
    "He learned to swim when he was five years",
    "There were three chairs in the room and a low",
    "The river is wide here, but it is not very",
    "Please leave your shoes next to the",
    "The old clock in the hall stopped at half past",
    "They painted the fence green and the gate",
    "A cup of tea costs less than a cup of",
    "The road goes up the hill and then turns to the",
    "I could not find my keys, so I looked under the",
    "The film was longer than I had",
    "In the evening the wind dropped and the sea became",
    "The teacher asked the class to open their",
    "Most birds build their nests in the",
    "The box was too heavy for one person to",
    "She wrote her name at the top of the",
    "The bus was late again because of the",
    "He likes his coffee without any",
    "The library is closed on Sundays and on public",
    "We planted two apple trees behind the",
    "The water should be warm, but not",
    "Her brother plays the piano and her sister plays the",
    "The window was open and the curtains moved in the",
    "You need a sharp knife and a large wooden",
    "The farmer counted his sheep and found that one was",
    "It takes about an hour to walk from here to the",
    "The first page was missing, but the rest of the book was",
    "On clear nights you can see the",
    "He thanked everyone for coming and sat",
)
"""40 texts of 6 to 12 words."""
