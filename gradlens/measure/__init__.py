"""One step: it is armed, its passes are measured, its result is finished and handed on."""
