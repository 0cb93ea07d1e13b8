"""Diagnosis: says in a few sentences what is wrong with a training, each with its number. See README.md in this folder."""
