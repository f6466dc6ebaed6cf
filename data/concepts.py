"""Named concepts of the bundled model's text: what its gazetteer knows, its domains, and a few words.

    python data/concepts.py WORK data/concepts.json      # WORK as build_corpus.py left it

`circuits describe` and `data/describe_features.py` read the file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from evaluate import read_world
from geography import Gazetteer

FEWEST = 4
"""Cities a region must have for them to be a concept of their own."""

DOMAINS = {
    "scripture": "scripture",
    "arabic": "Arabic",
    "definitions": "definitions",
    "literature": "literature",
    "code": "Python code",
    "docs": "documentation",
    "dna": "DNA",
    "encoded": "encoded text",
    "quotations": "quotations",
    "arithmetic": "arithmetic",
    "antonyms": "antonyms",
    "indirect objects": "indirect objects",
    "geography": "geography",
}

WORDS = {
    "Python keywords": " def class return import from if elif else for while in not and or is None True False"
    " try except raise with as lambda yield assert pass break continue global del",
    "names of people in indirect objects": " Mary John Tom Anna James Lucy Peter Sarah David Emma Paul Alice"
    " Mark Jane Simon Kate Martin Laura Henry Rose Daniel Helen Adam Ruth Michael Susan Robert Grace Andrew"
    " Julia",
    "old pronouns": " thou thee thy thine ye",
    "God and Lord": " God Lord LORD god lord Allah",
    "negation": " not no never none nor nothing neither",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    found = concepts(read_world(options.work / "world.json"))
    options.out.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{len(found)} concepts")


def concepts(world: Gazetteer) -> dict[str, dict[str, Any]]:
    """Gives the concepts: name to what a token must be."""
    found: dict[str, list[str]] = {}
    regions = world.regions
    for code, region in regions.items():
        cities = [city for city, place in world.cities.items() if place == code]
        if len(cities) >= FEWEST:
            found[f"cities in {region.name}"] = cities
        found.setdefault(region.name, []).append(region.name)
        found.setdefault(f"{region.name} or its cities", [region.name, *cities])
    for kind, plural in (("state", "states"), ("country", "countries")):
        here = {code: region for code, region in regions.items() if region.kind == kind}
        found[plural] = [region.name for region in here.values()]
        found[f"capitals of {plural}"] = [region.capital for region in here.values()]
        found[f"cities in {plural}"] = [city for city, place in world.cities.items() if place in here]
    found["states and countries"] = found["states"] + found["countries"]
    found["capitals"] = found["capitals of states"] + found["capitals of countries"]
    found["cities"] = list(world.cities)
    for continent in sorted({r.continent for r in regions.values() if r.continent}):
        inside = {code for code, region in regions.items() if region.continent == continent}
        found[f"countries in {continent}"] = [regions[code].name for code in inside]
        found[f"capitals in {continent}"] = [regions[code].capital for code in inside]
        found[f"cities in {continent}"] = [city for city, place in world.cities.items() if place in inside]
        found[continent] = [continent]
    found["continents"] = sorted({r.continent for r in regions.values() if r.continent})
    found["currencies"] = sorted({r.currency for r in regions.values() if r.currency})
    found["peoples"] = sorted({r.people for r in regions.values() if r.people})
    tokens: dict[str, dict[str, Any]] = {
        name: {"tokens": sorted({form for word in words for form in (f" {word}", word)})}
        for name, words in found.items()
    }
    for name, text in WORDS.items():
        words = text.split()
        tokens[name] = {"tokens": sorted({form for word in words for form in (f" {word}", word)})}
    tokens["digits"] = {"tokens": [*"0123456789"]}
    tokens["the state containing"] = {"tokens": [" containing"], "after": [" state"]}
    tokens["the country containing"] = {"tokens": [" containing"], "after": [" country"]}
    return tokens | {name: {"domain": domain} for domain, name in DOMAINS.items()}


if __name__ == "__main__":
    main()
