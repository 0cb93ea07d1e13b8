"""Parts of methods: exemplars, prototypes, classifiers, losses."""
