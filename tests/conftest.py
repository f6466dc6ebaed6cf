"""Under test, annotated array shapes and types are checked at run time, in every room that has arrays."""

from hypothesis import settings
from jaxtyping import install_import_hook

# By room: beartype cannot read polars' schema types, which `circuits.schema` names.
ROOMS = (
    "trace",
    "trace_io",
    "graph",
    "models",
    "dictionaries",
    "extraction",
    "training",
    "engine",
    "query",
    "planted",
)

install_import_hook([f"circuits.{room}" for room in ROOMS], "typecheck.check")

# a busy machine is no mistake: how long things take is measured in analysis/, never in tests
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
