"""Methods whose networks have branches: two in BBN, experts in RIDE and SADE."""
