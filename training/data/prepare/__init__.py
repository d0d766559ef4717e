"""Published change sets, and sets of your own, made into samples that training reads.

One file a set (`bcdd`, `second`, `levir_cd`, `oscd`, `folders`, `label_maps`) knows a layout and checks
it; it hands on pairs with questions. `writer` writes them with a data card and contact sheets, the same
for all.
"""
