"""The master's journal on disk: what is written down outlives the process. Needs the extra `[journal]`."""

from interaction.journal.journal import Journal, read_url

__all__ = ["Journal", "read_url"]
