"""The interactive graph: one document, one script, three shells (page, notebook, server)."""

from circuits.viewer.answers import answered
from circuits.viewer.bundle import script, style, third_party
from circuits.viewer.document import document, embedded
from circuits.viewer.part import Shown

__all__ = ["Shown", "answered", "document", "embedded", "script", "style", "third_party"]
