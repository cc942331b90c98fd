"""The master's journal on disk: what is written down outlives the process. Needs the extra `[journal]`."""

from interaction.journal.journal import Journal, check_url

__all__ = ["Journal", "check_url"]
