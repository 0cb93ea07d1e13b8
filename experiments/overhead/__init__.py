"""The overhead benchmark: what measuring costs, here and with other packages."""
