"""How many slaves one master holds: slaves by the thousand from a few processes, and what they cost their master."""
