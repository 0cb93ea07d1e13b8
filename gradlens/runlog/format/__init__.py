"""The format of a run's files on disk: the description, the rows, the events, the probes, and their checksums."""
