"""The names of the engines that users can choose, and the default budget.

This file imports nothing, because commands read it before torch is imported.
"""

# The names of the engines. "auto" is split if every layer treats the samples one by one, otherwise masked.
ENGINES = ("auto", "masked", "split", "func")
# The part of the training time that measuring may take by default.
DEFAULT_BUDGET = 0.05
