"""Stubs of the wire contract, generated from `protos/reasoncd/v1` by `make stubs`; never edited by hand."""
