"""The table of methods: what each costs, what is published of it with its protocol, and what was measured here."""
