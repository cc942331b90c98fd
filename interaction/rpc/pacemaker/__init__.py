"""The pacemaker: a small process beside a slave that beats for it while the slave's loop stands still."""
