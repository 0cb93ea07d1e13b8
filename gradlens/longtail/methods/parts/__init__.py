"""Parts that methods are made of: exemplars, prototypes, losses."""
