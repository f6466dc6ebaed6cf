"""Under test, every annotated array shape and type is checked at run time."""

from jaxtyping import install_import_hook

install_import_hook("circuits", "beartype.beartype")
