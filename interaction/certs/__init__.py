"""Certificates that say who somebody is, for a fleet that has none: `python -m interaction.certs --help`.

Needs `pip install '.[certs]'` in a checkout; whoever has certificates needs nothing of this. For programs there is
`interaction.certs.fleet`.
"""
