"""Pages to read, print and send on: one HTML file each, nothing loaded from elsewhere."""

from circuits.report.page import report, save_report

__all__ = ["report", "save_report"]
